"""Learned parameters of layers: made, named and filled."""

from caffe.blobs.blob import Blob
from caffe.blobs.fillers import fill


def add_parameter(layer, shape, filler):
    """Append a parameter of `shape` to a layer's `blobs`, with initial values as the FillerParameter says.

    CaffeError naming the layer for an unknown filler and for a shape that no blob can have.
    """
    blob = Blob(*shape, name=layer.name)
    fill(blob, filler, f"layer '{layer.name}'")
    layer.blobs.append(blob)
