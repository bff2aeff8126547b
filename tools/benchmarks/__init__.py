"""What the benchmark commands are made of: networks, contenders, pictures, feeding."""
