"""A folded net made ready for int8, with outputs that stay: ranges of channels made alike, errors of rounding met."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sphereslim.engine import caffe_pb2
from sphereslim.int8.points import int8_layers
from sphereslim.int8.ranges import Values
from sphereslim.net.layer_types import layer_type
from sphereslim.net.linear_weights import LinearWeights
from sphereslim.net.weights import weight_layers

MOST = 127  # of the absolute values of a weight in int8
_HOMOGENEOUS = ('ReLU', 'PReLU', 'Pooling')  # f(s · x) = s · f(x) for s > 0
_LARGEST_FACTOR = 64.0  # between a channel and its net's other ones, so that float32 readers keep their precision


def equalized_pairs(net: caffe_pb2.NetParameter) -> list[tuple[str, str, str]]:
    """[(layer, the blob that the next reads, the next layer)]: channels between two such layers can change their scale.

    Only ReLU, PReLU and Pooling lie between them, and nothing else reads what the first makes. The net is out of place.
    """
    able = set(int8_layers(net)) - _sharing(net)
    by_name = {layer.name: layer for layer in net.layer}
    readers: dict[str, list[caffe_pb2.LayerParameter]] = {}
    for layer in net.layer:
        for bottom in layer.bottom:
            readers.setdefault(bottom, []).append(layer)
    found = []
    for name in (layer.name for layer in net.layer if layer.name in able):
        blob = by_name[name].top[0]
        while len(readers.get(blob, ())) == 1 and readers[blob][0].type in _HOMOGENEOUS:
            blob = readers[blob][0].top[0]
        if len(readers.get(blob, ())) == 1 and readers[blob][0].name in able:
            found.append((name, blob, readers[blob][0].name))
    return found


def equalize(net: caffe_pb2.NetParameter, weights: caffe_pb2.NetParameter, values: Mapping[str, Values]) -> None:
    """Scale the channels between pairs of layers in place, so that all reach about as far; outputs stay.

    In front of a depthwise layer, whose filters have steps of their own, all channels come to reach equally far.
    Elsewhere a channel's range r and its next weights' range w become both √(r·w), but for one factor for all channels
    (Nagel et al. 2019, with ranges of the pictures in place of the first layer's weights).
    """
    stored, by_name = weight_layers(weights), {layer.name: layer for layer in net.layer}
    for first, blob, second in equalized_pairs(net):
        maker, taker = (LinearWeights(by_name[name], stored[name]) for name in (first, second))
        reach = _by_channel(values[blob].largest)
        if not taker.reads(len(reach)):
            continue
        factor = _factors(reach, _reach_of_inputs(taker, len(reach)), taker.weight.shape[2] == 1)
        maker.scale_outputs(1 / factor, np.zeros(1))
        taker.scale_inputs(factor, np.zeros(1))
        maker.store()
        taker.store()


def _factors(reach: np.ndarray, next_reach: np.ndarray, is_depthwise: bool) -> np.ndarray:
    """What each channel is divided by, 1 for those without values; their geometric mean is 1."""
    known = (reach > 0) & (next_reach > 0)
    if not known.any():
        return np.ones(len(reach))
    factor = np.ones(len(reach))
    factor[known] = reach[known] if is_depthwise else np.sqrt(reach[known] / next_reach[known])
    factor[known] /= np.exp(np.log(factor[known]).mean())
    return factor.clip(1 / _LARGEST_FACTOR, _LARGEST_FACTOR)


def _reach_of_inputs(taker: LinearWeights, channels: int) -> np.ndarray:
    """The largest absolute weight with which each channel is read."""
    groups, outputs, _, _ = taker.weight.shape
    weight = np.abs(taker.weight).reshape(groups, outputs, channels // groups, -1)
    return weight.max((1, 3)).ravel()


def correct_biases(net: caffe_pb2.NetParameter, weights: caffe_pb2.NetParameter, values: Mapping[str, Values]) -> None:
    """Add to each bias, in place, what rounding the filters takes from the mean output: (W − Wq) · E[x].

    Expectations are those of the pictures (Nagel et al. 2019); borders count like the inside.
    """
    stored, by_name = weight_layers(weights), {layer.name: layer for layer in net.layer}
    for name in sorted(set(int8_layers(net)) - _sharing(net)):
        linear = LinearWeights(by_name[name], stored[name])
        mean = values[by_name[name].bottom[0]].mean
        lost = linear.weight - _rounded(linear)
        if by_name[name].type == 'InnerProduct':
            lost_output = lost.reshape(linear.outputs, -1) @ mean.ravel()
        else:
            groups, _, inputs, _ = lost.shape
            by_group = _mean_by_channel(mean).reshape(groups, 1, inputs, 1)
            lost_output = (lost * by_group).sum((2, 3)).ravel()
        linear.bias = linear.bias + lost_output
        linear.store()


def thresholds(linear: LinearWeights) -> np.ndarray:
    """The largest absolute weight of each filter."""
    return np.abs(linear.filters).max(axis=1)


def _rounded(linear: LinearWeights) -> np.ndarray:
    step = thresholds(linear) / MOST
    step = np.where(step > 0, step, 1).reshape(*linear.weight.shape[:2], 1, 1)
    return np.rint(linear.weight / step) * step


def _by_channel(largest: np.ndarray) -> np.ndarray:
    return largest.reshape(len(largest), -1).max(axis=1)


def _mean_by_channel(mean: np.ndarray) -> np.ndarray:
    return mean.reshape(len(mean), -1).mean(axis=1)


def _sharing(net: caffe_pb2.NetParameter) -> set[str]:
    """Layers of which parameters have a name, so that others may hold the same ones."""
    return {layer.name for layer in net.layer if any(spec.name for spec in layer.param) and layer_type(layer).sums}
