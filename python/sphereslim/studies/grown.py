"""A net that starts as a smaller one which is a part of it: what it has in addition are branches that add nothing yet.

The last layer of a new branch of a sum starts at zero, so the net computes what the smaller one does, and its training
goes on from there instead of from the beginning. All that has to agree are names and shapes of the layers in common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.inputs import input_shape
from sphereslim.net.layer_types import types_with
from sphereslim.net.messages import copy_of
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.weights import blob_shape, fill_blob, weight_layers
from sphereslim.rewrite.fold_check import ROUNDING, Model, output_difference


def grown(
    deploy: caffe_pb2.NetParameter, smaller: caffe_pb2.NetParameter, weights: caffe_pb2.NetParameter
) -> caffe_pb2.NetParameter | None:
    """What `deploy` has to hold to compute what the `smaller` deploy net does with `weights`; None where it cannot.

    Layers that may hold anything, before the ends of the new branches, are left to the fillers of a training.
    """
    held, own = weight_layers(weights), weight_layers(weights_of(open_net(deploy)))
    zero, result = _ends_of_new_branches(deploy, set(held)), caffe_pb2.NetParameter()
    for name, layer in own.items():
        if name in held and [blob_shape(blob) for blob in held[name].blobs] != [blob_shape(b) for b in layer.blobs]:
            return None
        if name in held:
            result.layer.add().CopyFrom(held[name])
        elif name in zero:
            _fill(result.layer.add(), layer, np.zeros)
    others = [layer for name, layer in own.items() if name not in held and name not in zero]
    return result if _compute_alike((smaller, weights), (deploy, _with_anything(result, others))) else None


def _fill(
    layer: caffe_pb2.LayerParameter, like: caffe_pb2.LayerParameter, values: Callable[[tuple[int, ...]], np.ndarray]
) -> None:
    """Name a LayerParameter as another, with `values(shape)` in as many blobs."""
    layer.name, layer.type = like.name, like.type
    for blob in like.blobs:
        fill_blob(layer.blobs.add(), values(blob_shape(blob)), legacy=False)


def _with_anything(
    weights: caffe_pb2.NetParameter, others: Sequence[caffe_pb2.LayerParameter]
) -> caffe_pb2.NetParameter:
    """The weights, and random ones of the shapes of the other layers."""
    result, generator = copy_of(weights), np.random.default_rng(0)
    for layer in others:
        _fill(result.layer.add(), layer, lambda shape: generator.normal(0, 0.1, shape))
    return result


def _ends_of_new_branches(net: caffe_pb2.NetParameter, known: set[str]) -> set[str]:
    """The layers not `known` whose outputs a sum adds up, through activations and the like."""
    sums = [(index, blob) for index, layer in enumerate(net.layer) if layer.type == 'Eltwise' for blob in layer.bottom]
    return {end for index, blob in sums for end in [_source(net, index, blob)] if end} - known


def _source(net: caffe_pb2.NetParameter, index: int, blob: str) -> str | None:
    """The linear layer before the layer `index` that a blob comes from; None where there is no single one."""
    for before in range(index - 1, -1, -1):
        layer = net.layer[before]
        if blob in layer.top:
            if layer.type in types_with('sums'):
                return str(layer.name)
            return _source(net, before, layer.bottom[0]) if len(layer.bottom) == 1 else None
    return None


def _compute_alike(one: Model, other: Model) -> bool:
    """Whether two deploy nets with weights take inputs of one shape and give the same for random ones."""
    if input_shape(one[0]) != input_shape(other[0]):
        return False
    try:
        return max(output_difference(one, other).values()) <= ROUNDING
    except SlimError:
        return False  # other outputs
