"""Prune, substitute and quantize Caffe networks, driven by their prototxt."""
