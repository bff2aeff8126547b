"""What `sphereslim quantize` can do, a module for each of its commands."""
