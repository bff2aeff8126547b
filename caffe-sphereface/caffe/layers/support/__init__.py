"""What layers are made of: their base class and registry, parameters, windows, labels."""
