"""Cutting channels out of nets and weights, the same ones everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from sphereslim.channels.groups import Groups, Kept
from sphereslim.channels.trace import Axis, Trace
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.messages import copy_of
from sphereslim.net.weights import blob_array, set_blob_array, weight_layers
from sphereslim.net.weights_check import check_weights

Edits = dict[str, dict[str, Any]]  # {layer: {field path: new value}}


def prune(
    nets: Sequence[caffe_pb2.NetParameter],
    weights: caffe_pb2.NetParameter,
    kept: Kept,
    groups: Groups | None = None,
) -> tuple[list[caffe_pb2.NetParameter], caffe_pb2.NetParameter]:
    """Remove channels from nets that share layers by name (say train and deploy) and from their common weights.

    `nets` is a list of NetParameters, `weights` the NetParameter of a caffemodel, `kept` says which units stay as
    {group or layer name: indices}; groups that are not named stay whole. `groups` may be given to save following the
    channels again. Returns (new nets, new weights); the arguments stay as they are. What loses nothing is copied byte
    for byte. SlimError where a request or the weights do not fit the nets.
    """
    groups = groups or Groups(*nets)
    mask = groups.keep_mask(kept)
    _check_left(groups.trace, mask)
    check_weights(weights, groups.trace.axes.values())
    edits = field_edits(groups, mask)
    weights = apply_edits(weights, edits)
    layers = weight_layers(weights)
    for (layer, blob), axes in _cut_axes(groups.trace, mask).items():
        if layer not in layers:
            raise SlimError(f"the weights hold no layer '{layer}', whose channels are to be cut")
        _cut(layers[layer].blobs[blob], axes, mask)
    return [apply_edits(net, edits) for net in nets], weights


def prune_prototxt(
    nets: Sequence[caffe_pb2.NetParameter], kept: Kept, groups: Groups | None = None
) -> list[caffe_pb2.NetParameter]:
    """The nets without the removed channels, as `prune` gives them, where there are no weights."""
    groups = groups or Groups(*nets)
    mask = groups.keep_mask(kept)
    _check_left(groups.trace, mask)
    edits = field_edits(groups, mask)
    return [apply_edits(net, edits) for net in nets]


def field_edits(groups: Groups, mask: np.ndarray) -> Edits:
    """{layer: {field path: new value}} for every prototxt field whose count of channels changes."""
    edits: Edits = {}
    for edit in groups.trace.edits.values():
        if not mask[edit.ids].all():
            value = [int(mask[edit.ids[:end]].sum()) for end in edit.ends]
            edits.setdefault(edit.layer, {})[edit.path] = value if edit.several else value[0]
    return edits


def apply_edits(net: caffe_pb2.NetParameter, edits: Edits) -> caffe_pb2.NetParameter:
    """A copy of a NetParameter with the fields of its layers set as in `edits`; layers without them stay."""
    result = copy_of(net)
    for layer in (*result.layer, *result.layers):
        for path, value in edits.get(layer.name, {}).items():
            *messages, name = path.split('.')
            _set_field(reduce(getattr, messages, layer), name, value)
    return result


def _set_field(param: caffe_pb2.ConvolutionParameter, name: str, value: int) -> None:
    field, _, index = name.partition('[')
    if index:
        getattr(param, field)[int(index[:-1])] = value
    elif isinstance(value, list):
        del getattr(param, name)[:]
        getattr(param, name).extend(value)
    else:
        setattr(param, name, value)


def _check_left(trace: Trace, mask: np.ndarray) -> None:
    """Every layer that had channels keeps some."""
    flows = [(layer, flow.ids) for (layer, _), flow in trace.tops.items()]
    for layer, ids in [*flows, *((axis.layer, axis.ids) for axis in trace.axes.values())]:
        if not mask[ids].any():
            raise SlimError(f"layer '{layer}' would be left without channels, expected at least one to be kept")


def _cut_axes(trace: Trace, mask: np.ndarray) -> dict[tuple[str, int], list[Axis]]:
    """{(layer, blob): its axes that lose channels}."""
    cut: dict[tuple[str, int], list[Axis]] = {}
    for axis in trace.axes.values():
        if not mask[axis.ids].all():
            cut.setdefault((axis.layer, axis.blob), []).append(axis)
    return cut


def _cut(blob: caffe_pb2.BlobProto, axes: Sequence[Axis], mask: np.ndarray) -> None:
    array = blob_array(blob)
    for axis in axes:
        place = axis.place(array.shape)
        block = array.shape[place] // len(axis.ids)
        array = np.compress(np.repeat(mask[axis.ids], block), array, axis=place)
    set_blob_array(blob, array)
