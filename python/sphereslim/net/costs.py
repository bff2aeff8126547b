"""What a network costs: parameters, multiply-accumulates and activation memory of every layer.

Shapes are those that `caffe.Net` infers, so any layer that the engine knows can be measured; data files are not needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.engine import Blob, caffe, caffe_pb2
from sphereslim.net.inputs import input_shape, with_inputs
from sphereslim.net.layer_types import layer_type
from sphereslim.net.opened import open_net
from sphereslim.net.roles import CLASSIFIER, DATA, LOSS, NETWORK, opened_layers, parts
from sphereslim.net.weights import read_weights
from sphereslim.net.weights_check import check_same_net

KINDS = (NETWORK, CLASSIFIER, LOSS, DATA)


@dataclass
class LayerStats:
    """The cost of one layer for a batch of the input's size.

    `weights` counts the first blob alone, `parameters` all that is learned, `statistics` the running blobs of norms.
    `macs` are the multiply-accumulates of convolutions and inner products; additions, norms and neurons count nothing.
    `activation_bytes` are the new float32 blobs; a layer that works in place has none. `zeros` is the share of
    parameters that are exactly 0, or None where no weights were loaded.
    """

    name: str
    type: str
    kind: str
    shape: tuple[int, ...]
    weights: int = 0
    parameters: int = 0
    statistics: int = 0
    macs: int = 0
    activation_bytes: int = 0
    zeros: float | None = None


@dataclass
class Total:
    """Sums over layers; see `LayerStats`."""

    layers: int
    weights: int
    parameters: int
    statistics: int
    macs: int
    activation_bytes: int

    @property
    def model_bytes(self) -> int:
        """The float32 size of all parameters and statistics."""
        return 4 * (self.parameters + self.statistics)


def open_with_inputs(
    net: caffe_pb2.NetParameter, shape: tuple[int, ...] | None = None, weights: str | Path | None = None
) -> caffe.Net:
    """A `caffe.Net` in phase TEST of a NetParameter whose data layers became inputs of `shape`, see `with_inputs`.

    `weights` is the path of a caffemodel to load. SlimError where the net is wrong or the weights are of another one.
    """
    opened = open_net(with_inputs(net, shape))
    if weights:
        if Path(weights).suffix != '.h5':
            check_same_net(read_weights(weights), opened.params, f"net '{net.name}'", weights)
        opened.copy_from(str(weights))
    return opened


def measure(
    net: caffe_pb2.NetParameter, shape: tuple[int, ...] | None = None, weights: str | Path | None = None
) -> list[LayerStats]:
    """A LayerStats for each layer of a NetParameter, in order; shared parameters count where they are first used.

    `shape` is that of the input (N, C, H, W) where the prototxt does not say it; costs are for the batch of N.
    """
    opened = open_with_inputs(net, shape, weights)
    layers = opened_layers(with_inputs(net, shape), opened)
    kinds = parts(layers, opened)
    counted: set[str] = set()
    return [_layer_stats(layer, kinds[layer.name], opened, counted, bool(weights)) for layer in layers]


def total(stats: Sequence[LayerStats], kind: str | None = None) -> Total:
    """The Total over all layers or those of one kind."""
    chosen = [s for s in stats if kind in (None, s.kind)]
    names = ('weights', 'parameters', 'statistics', 'macs', 'activation_bytes')
    return Total(len(chosen), **{name: sum(getattr(s, name) for s in chosen) for name in names})


def one_picture(net: caffe_pb2.NetParameter) -> Total:
    """The Total of a deploy NetParameter for a single picture, classifier apart."""
    return total(measure(net, (1, *(input_shape(net) or ())[1:])), NETWORK)


def as_json(stats: Sequence[LayerStats]) -> dict[str, Any]:
    """The layers and the totals by kind as plain dicts and lists."""
    totals = {kind: total(stats, kind) for kind in KINDS}
    sums = {kind: asdict(t) | {'model_bytes': t.model_bytes} for kind, t in totals.items() if t.layers}
    return {'layers': [asdict(s) for s in stats], 'totals': sums}


def _layer_stats(
    layer: caffe_pb2.LayerParameter, kind: str, opened: caffe.Net, counted: set[str], with_zeros: bool
) -> LayerStats:
    shape = tuple(opened.blobs[layer.top[0]].data.shape) if layer.top else ()
    blobs = _own_blobs(layer, opened, counted)
    first = layer_type(layer).first_statistic
    size = sum(b.count for b in blobs)
    statistics = 0 if first is None else sum(b.count for b in blobs[first:])
    zeros = sum(b.count - np.count_nonzero(b.data) for b in blobs) / size if with_zeros and size else None
    return LayerStats(
        layer.name,
        layer.type,
        kind,
        shape,
        weights=blobs[0].count if statistics < size else 0,
        parameters=size - statistics,
        statistics=statistics,
        macs=_macs(layer, opened),
        activation_bytes=sum(4 * opened.blobs[t].count for t in layer.top if t not in layer.bottom),
        zeros=zeros,
    )


def _own_blobs(layer: caffe_pb2.LayerParameter, opened: caffe.Net, counted: set[str]) -> list[Blob]:
    """The layer's parameter blobs that no layer before it has shared under a name."""
    own: list[Blob] = []
    for index, blob in enumerate(opened.params.get(layer.name, [])):
        name = layer.param[index].name if index < len(layer.param) else ''
        if name not in counted:
            own.append(blob)
        if name:
            counted.add(name)
    return own


def _macs(layer: caffe_pb2.LayerParameter, opened: caffe.Net) -> int:
    """Every weight is used once per output position, that of a Deconvolution once per input position.

    The class of a layer of one's own says so itself.
    """
    own = getattr(opened.layer_dict[layer.name], 'macs', None)
    if own:
        return own(*([tuple(opened.blobs[name].data.shape) for name in names] for names in (layer.bottom, layer.top)))
    if layer.name not in opened.params:
        return 0
    weight = opened.params[layer.name][0]
    if layer.type == 'Deconvolution':
        shapes = [opened.blobs[bottom].data.shape for bottom in layer.bottom]
        return weight.count * sum(shape[0] * math.prod(shape[2:]) for shape in shapes)
    kind = layer_type(layer)
    if not kind.sums:
        return 0
    tops = layer.top if kind.convolves else layer.top[:1]
    outputs = weight.data.shape[layer.type == 'InnerProduct' and layer.inner_product_param.transpose]
    return weight.count * sum(opened.blobs[top].count for top in tops) // outputs
