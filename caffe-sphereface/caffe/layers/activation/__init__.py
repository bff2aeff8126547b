"""Layers that change every value by itself, and softmax."""
