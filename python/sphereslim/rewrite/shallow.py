"""Fewer layers: convolutions dropped with their norm and neuron, the rest reconnected."""

from __future__ import annotations

from collections.abc import Iterable

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.messages import copy_of
from sphereslim.net.prototxt import find_layer
from sphereslim.rewrite.tail import position, tail_of


def drop_layers(net: caffe_pb2.NetParameter, names: Iterable[str]) -> caffe_pb2.NetParameter:
    """The net without the named convolutions and what belongs to them; their readers read what they read.

    SlimError for an unknown layer and for one that is no convolution of stride 1.
    """
    result = copy_of(net)
    for name in names:
        result = _without(result, find_layer(result, name))
    return result


def _without(net: caffe_pb2.NetParameter, layer: caffe_pb2.LayerParameter) -> caffe_pb2.NetParameter:
    stride = [s for s in layer.convolution_param.stride if s != 1]
    if layer.type != 'Convolution' or stride or layer.convolution_param.stride_h > 1:
        raise SlimError(
            f"layer '{layer.name}' ({layer.type}{f', stride {stride[0]}' if stride else ''}): expected a "
            'Convolution of stride 1 to drop'
        )
    tail, end = tail_of(net, layer)
    gone = {position(net, layer), *tail}
    result = copy_of(net)
    del result.layer[:]
    for index, other in enumerate(net.layer):
        if index not in gone:
            result.layer.append(_reading(other, end, layer.bottom[0]) if index > max(gone) else other)
    return result


def _reading(layer: caffe_pb2.LayerParameter, old: str, new: str) -> caffe_pb2.LayerParameter:
    """The layer with blob `old` renamed to `new` among its bottoms, and among its tops when it works in place."""
    result = copy_of(layer)
    in_place = old in layer.bottom and old in layer.top
    result.bottom[:] = [new if blob == old else blob for blob in layer.bottom]
    if in_place:
        result.top[:] = [new if blob == old else blob for blob in layer.top]
    return result
