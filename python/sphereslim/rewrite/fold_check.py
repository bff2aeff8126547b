"""Whether a folded net still is the net that it was made of: by its outputs, and channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sphereslim.engine import caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.inputs import is_data, with_inputs
from sphereslim.net.linear_weights import LinearWeights, takes_affine
from sphereslim.net.messages import copy_of
from sphereslim.net.opened import open_net
from sphereslim.net.weights import weight_layers
from sphereslim.rewrite.affine import Affine
from sphereslim.rewrite.fold import Folding, fold

Model = tuple[caffe_pb2.NetParameter, caffe_pb2.NetParameter]  # net and weights
ROUNDING = 1e-4  # of an output's scale or of a filter's: more is no rounding of float32
_DRAWS = 3


@dataclass(frozen=True)
class LayerDifference:
    """A layer whose filters or biases differ.

    `channels` are the outputs that do, out of `of`. `largest` is the largest difference, as a share of the filter's or
    the biases' largest value. `eps` is (that of the norm, the one that would explain the difference), where one does.
    """

    layer: str
    channels: np.ndarray
    of: int
    largest: float
    eps: tuple[float, float] | None = None


def output_difference(
    before: Model, after: Model, shape: Sequence[int] | None = None, seed: int = 0
) -> dict[str, float]:
    """{output: largest difference, as a share of the largest value} of two nets on random inputs.

    The outputs of the second go by the names of the first's, or by their order where it has others. `shape` is that of
    the input where the prototxt does not say it. SlimError where the nets take or give different things.
    """
    first, second = (open_net(_with_inputs(net, shape), weights) for net, weights in (before, after))
    names = _output_names(first, second, after[0].name)
    scales, differences = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    rng = np.random.default_rng(seed)
    for _ in range(_DRAWS):
        _fill(first, second, rng)
        wanted, found = first.forward(), second.forward()
        for name, other in names.items():
            if wanted[name].shape != found[other].shape:
                raise SlimError(f"output '{other}' has shape {found[other].shape}, expected {wanted[name].shape}")
            scales[name] = max(scales[name], float(np.abs(wanted[name]).max()))
            difference = float(np.abs(wanted[name].astype(np.float64) - found[other]).max())
            differences[name] = max(differences[name], difference if np.isfinite(difference) else np.inf)
    return {name: differences[name] / (scales[name] or 1.0) for name in names}


def layer_differences(original: Folding, given: Model) -> list[LayerDifference]:
    """The layers in which a given folded net and one folded here differ; what is not folded in the given one yet is.

    Layers go together by name, or by their order where names differ. SlimError where those are not of one shape.
    """
    other = fold(*given)
    pairs = zip(_linear_layers(original), _linear_layers(other, original))
    found = (_compare(ours, theirs, original.norms.get(ours.layer.name, ())) for ours, theirs in pairs)
    return [difference for difference in found if difference]


def _with_inputs(net: caffe_pb2.NetParameter, shape: Sequence[int] | None) -> caffe_pb2.NetParameter:
    """The net with inputs for data, and with the constants that it has besides."""
    constants = [layer for layer in net.layer if layer.type == 'DummyData']
    others = type(net)(name=net.name, layer=[layer for layer in net.layer if layer.type != 'DummyData'])
    others.state.CopyFrom(net.state)
    if not any(is_data(layer) for layer in others.layer):
        return with_inputs(net, tuple(shape) if shape else None)
    result = with_inputs(others, tuple(shape) if shape else None)
    layers = [*constants, *map(copy_of, result.layer)]
    del result.layer[:]
    result.layer.extend(layers)
    return result


def _output_names(first: caffe.Net, second: caffe.Net, net: str) -> dict[str, str]:
    """{output of the first net: that of the second}."""
    ours, theirs = list(first.outputs), list(second.outputs)
    if len(ours) != len(theirs):
        raise SlimError(f"net '{net}' has the outputs {', '.join(theirs)}, expected {', '.join(ours)}")
    return {name: name for name in ours} if set(ours) == set(theirs) else dict(zip(ours, theirs))


def _fill(first: caffe.Net, second: caffe.Net, rng: np.random.Generator) -> None:
    """The same values into both nets: normal ones, and zeros into labels."""
    for name, other in zip(first.inputs, second.inputs):
        shape = first.blobs[name].data.shape
        values = rng.normal(size=shape) if len(shape) > 1 else np.zeros(shape)
        if second.blobs[other].data.shape != shape:
            second.blobs[other].reshape(*shape)
        first.blobs[name].data[...] = second.blobs[other].data[...] = values


def _linear_layers(folding: Folding, like: Folding | None = None) -> list[LinearWeights]:
    """The layers with weights of a folded net, in its order or in that of the layers of the same names in `like`."""
    stored = weight_layers(folding.weights)
    layers = [layer for layer in folding.net.layer if takes_affine(layer) and layer.name in stored]
    if like:
        wanted = [linear.layer.name for linear in _linear_layers(like)]
        by_name = {layer.name: layer for layer in layers}
        if set(wanted) == set(by_name):
            layers = [by_name[name] for name in wanted]
        elif len(wanted) != len(layers):
            found = f"net '{folding.net.name}' has {len(layers)} layers with weights"
            raise SlimError(f'{found}, expected {len(wanted)} as the original has')
    return [LinearWeights(layer, stored[layer.name]) for layer in layers]


def _compare(ours: LinearWeights, theirs: LinearWeights, norms: Sequence[Affine]) -> LayerDifference | None:
    if ours.weight.shape != theirs.weight.shape:
        raise SlimError(
            f"layer '{theirs.layer.name}' has weights of (groups, outputs, inputs, taps) {theirs.weight.shape}, "
            f"expected {ours.weight.shape} of '{ours.layer.name}'"
        )
    scale = np.abs(ours.filters).max(axis=1)
    by_filter = np.abs(theirs.filters - ours.filters).max(axis=1) / np.where(scale > 0, scale, 1)
    by_bias = np.abs(theirs.bias - ours.bias) / (np.abs(ours.bias).max() or 1)
    differences = np.maximum(by_filter, by_bias)
    channels = np.flatnonzero(~(differences <= ROUNDING))
    if not channels.size:
        return None
    eps = _explaining_eps(ours, theirs, norms[0], channels) if len(norms) == 1 else None
    return LayerDifference(ours.layer.name, channels, ours.outputs, float(differences.max()), eps)


def _explaining_eps(
    ours: LinearWeights, theirs: LinearWeights, norm: Affine, channels: np.ndarray
) -> tuple[float, float] | None:
    """(eps, another eps) if the filters differ by the factor sqrt((variance + eps) / (variance + another eps))."""
    assert norm.variance is not None
    squares = (ours.filters**2).sum(axis=1)[channels]
    ratio = (ours.filters * theirs.filters).sum(axis=1)[channels] / np.where(squares > 0, squares, np.inf)
    variance = norm.variance[channels]
    if (ratio <= 0).any():
        return None
    eps = (variance + norm.eps) / ratio**2 - variance
    surest = eps[np.argsort(variance)[: max(1, len(eps) // 4)]]  # where eps counts most beside the variance
    low, middle, high = np.percentile(surest, (25, 50, 75))
    is_another = abs(middle - norm.eps) > ROUNDING * norm.eps and middle > 0
    return (norm.eps, float(middle)) if is_another and high - low <= 0.2 * abs(middle - norm.eps) else None
