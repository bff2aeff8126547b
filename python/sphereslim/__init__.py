"""Prune, substitute and quantize Caffe networks, driven by their prototxt."""

__version__ = '1.0.0'
