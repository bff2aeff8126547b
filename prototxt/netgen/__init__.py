"""The networks of the sources, layer by layer."""
