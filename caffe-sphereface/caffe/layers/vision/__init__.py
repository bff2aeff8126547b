"""Layers over pictures: convolution, pooling, cropping."""
