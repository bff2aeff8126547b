"""Layers that feed a net or write to files: data layers, Input, HDF5Output."""
