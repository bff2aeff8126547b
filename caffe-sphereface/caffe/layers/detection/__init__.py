"""Layers of object detectors without regions: default boxes, decoding, losses over matched boxes."""
