"""Learned parameters of layers: made, named and filled."""

from collections.abc import Sequence

from caffe.blobs.blob import Blob
from caffe.blobs.fillers import fill
from caffe.layers.support.registry import Layer
from caffe.proto.caffe_pb2 import FillerParameter


def add_parameter(layer: Layer, shape: Sequence[int], filler: FillerParameter) -> None:
    """Append a parameter of `shape` to a layer's `blobs`, with initial values as `filler` says.

    CaffeError naming the layer for an unknown filler and for a shape that no blob can have.
    """
    blob = Blob(*shape, name=layer.name)
    fill(blob, filler, f"layer '{layer.name}'")
    layer.blobs.append(blob)
