"""Layers of object detectors: default boxes, decoding, losses over matched boxes, pooling of regions."""
