"""The Caffe that the workflow uses, for the detector's networks; it takes seconds to load."""

from facedata import workflow  # noqa: F401, I001  (finds the library)
from sphereslim.engine import caffe

__all__ = ['caffe']
