"""Layers that normalise, scale and shift."""
