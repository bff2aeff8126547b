"""What follows a convolution: the batch norm, scale and neuron that belong to it."""

from __future__ import annotations

from sphereslim.engine import caffe_pb2
from sphereslim.net.layer_types import types_with

NORMS = ('BatchNorm',)
NEURONS = types_with('activation')
_FOLLOWERS = (*NORMS, 'Scale', *NEURONS)


def tail_of(net: caffe_pb2.NetParameter, layer: caffe_pb2.LayerParameter) -> tuple[list[int], str]:
    """(indices of the followers of a convolution, the blob they end in), in order.

    Followers are norms, scales of one bottom and neurons that work in place on its top, or that alone
    read it.
    """
    blob, indices = layer.top[0], []
    start = position(net, layer) + 1
    for index in range(start, len(net.layer)):
        reader = net.layer[index]
        if blob not in reader.bottom:
            continue
        alone = _in_place(reader) or _readers(net, blob, index) == 1
        if reader.type not in _FOLLOWERS or len(reader.bottom) > 1 or not alone:
            break
        indices.append(index)
        blob = reader.top[0]
    return indices, blob


def position(net: caffe_pb2.NetParameter, layer: caffe_pb2.LayerParameter) -> int:
    """The index of a layer in its net."""
    return next(i for i, other in enumerate(net.layer) if other is layer or other == layer)


def _in_place(layer: caffe_pb2.LayerParameter) -> bool:
    return list(layer.bottom) == list(layer.top)


def _readers(net: caffe_pb2.NetParameter, blob: str, start: int) -> int:
    """How many layers from `start` on read a blob before another layer makes it anew."""
    count = 0
    for layer in net.layer[start:]:
        count += blob in layer.bottom
        if blob in layer.top:
            break
    return count
