"""Layers that join, split, reshape and reduce blobs."""
