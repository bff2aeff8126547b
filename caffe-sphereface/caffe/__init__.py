"""A drop-in Caffe on PyTorch."""

__version__ = '1.0.0'
