"""Weights rounded in view of pictures: each layer to what the original gave, on inputs as the rounded net gives them.

Layer after layer in the order of the net: the weights are fitted to the original's outputs by least squares, which
makes up for what the layers before lost by rounding, and then rounded (`second_order`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np

from sphereslim.channels.trace import Trace
from sphereslim.data.feed import Feed
from sphereslim.engine import caffe, caffe_pb2
from sphereslim.net.opened import open_net
from sphereslim.pruning.model import Model
from sphereslim.pruning.reconstruct import Fit, examples
from sphereslim.quantization.bits import FILTER
from sphereslim.quantization.indices import index_type
from sphereslim.quantization.quantize_net import dequantize, quantize_net, relative_error
from sphereslim.quantization.quantized_net import QuantizedNet, blob_values
from sphereslim.quantization.schemes import largest_level
from sphereslim.quantization.second_order import Rounded, SecondOrder
from sphereslim.sampling import least_squares
from sphereslim.sampling.least_squares import Halves, NormalEquations
from sphereslim.sampling.linear_layer import LinearLayer, is_linear, sharers
from sphereslim.sampling.sampler import Sampler

FIT = Fit(places=60)
Gathered = list[Halves[NormalEquations]]  # for each group of a layer


def round_by_pictures(
    quantized: QuantizedNet,
    model: Model,
    feed: Feed,
    fit: Fit = FIT,
    seed: int = 0,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> None:
    """Round the layers of a `linear-filter` QuantizedNet of `model` again, in place, over the batches of `feed`.

    Layers that share weights, inner products with transposed weights, and layers of more than LARGEST_SYSTEM inputs
    stay as they are. Biases and the means of BatchNorms take over by what a layer's outputs shifted.
    """
    rng, trace = np.random.default_rng(seed), model.groups.trace
    whole, own = model.sampler(feed), Sampler(open_net(model.net, dequantize(quantized)), feed)
    known = {layer.name for layer in quantized.layers if layer.blobs[0].dictionary is not None}
    for name in progress([name for name in trace.layers if name in known and can_be_rounded(trace, name, own.net)]):
        start, equations = _gather(trace, name, whole, own, fit, rng)
        fitted = [equation.solution(matrix, fit.ridge) for equation, matrix in zip(equations, start)]
        layer = LinearLayer(trace, name, own.net)
        rounded = _round(quantized, name, fitted, _rounders(equations, layer.added() is not None))
        layer.store([part.matrix() for part in rounded])
    _take_vectors(quantized, own.net)


class RoundedAlone:
    """Called with the NetParameter of one layer's weights and {its name: bits}, a QuantizedNet of that layer.

    It is rounded on the inputs of the original `model`; where that cannot be done, to the nearest level. `vectors` as
    for `quantize_net`.
    """

    def __init__(self, model: Model, feed: Feed, vectors: int | str | None, fit: Fit = FIT, seed: int = 0) -> None:
        self.model, self.fit, self.vectors = model, fit, vectors
        self._rng, self._sampler = np.random.default_rng(seed), model.sampler(feed)
        self._known: tuple[str, list[SecondOrder]] = ('', [])

    def __call__(self, weights: caffe_pb2.NetParameter, bits: Mapping[str, int]) -> QuantizedNet:
        quantized = quantize_net(weights, bits, FILTER, vectors=self.vectors)
        ((name, _),) = bits.items()
        trace, net = self.model.groups.trace, self._sampler.net
        if can_be_rounded(trace, name, net):
            layer = LinearLayer(trace, name, net)
            if self._known[0] != name:
                equations = _gather(trace, name, self._sampler, self._sampler, self.fit, self._rng)[1]
                self._known = name, _rounders(equations, layer.added() is not None)
            rounded = _round(quantized, name, layer.matrices(), self._known[1])
            if layer.has_bias:
                bias = quantized.layers[0].blobs[1]
                bias.floats = np.concatenate([part.added for part in rounded if part.added is not None])
        return quantized


class RoundedTogether:
    """Called with the NetParameter of a whole net's weights and its bits, a QuantizedNet made by `round_by_pictures`.

    `outline` makes one to the nearest level. `progress` wraps the names of the layers.
    """

    def __init__(
        self,
        outline: Callable[[caffe_pb2.NetParameter, Mapping[str, int]], QuantizedNet],
        model: Model,
        feed: Feed,
        seed: int = 0,
        progress: Callable[[Iterable[str]], Iterable[str]] = iter,
    ) -> None:
        self.outline, self.model, self.feed, self.seed, self.progress = outline, model, feed, seed, progress

    def __call__(self, weights: caffe_pb2.NetParameter, bits: Mapping[str, int]) -> QuantizedNet:
        quantized = self.outline(weights, bits)
        round_by_pictures(quantized, self.model, self.feed, seed=self.seed, progress=self.progress)
        return quantized


def can_be_rounded(trace: Trace, name: str, net: caffe.Net) -> bool:
    """Whether `round_by_pictures` can round a layer."""
    if not is_linear(trace, name):
        return False
    layer = trace.layers[name]
    few = net.params[name][0].data[0].size < least_squares.LARGEST_SYSTEM
    transposed = layer.type == 'InnerProduct' and layer.inner_product_param.transpose
    return few and not transposed and len(sharers(trace, name, net)) == 1


def _gather(
    trace: Trace, name: str, whole: Sampler, own: Sampler, fit: Fit, rng: np.random.Generator
) -> tuple[list[np.ndarray], Gathered]:
    """(original matrices, equations) per group: inputs as `own` gives them, towards the outputs of `whole`."""
    original, layer = (LinearLayer(trace, name, sampler.net) for sampler in (whole, own))
    added = original.added()
    lift = 0.0 if original.has_bias or added is None else added
    start = original.matrices()
    equations = [Halves(partial(NormalEquations, *matrix.shape)) for matrix in start]
    for inputs, wanted in examples(trace, name, np.arange(len(own.net.params[name][0].data)), whole, own):
        for equation, (x, y) in zip(equations, layer.rows(inputs, wanted, lift, fit.places, rng)):
            equation.add(x, y)
    return start, equations


def _rounders(equations: Gathered, has_added: bool) -> list[SecondOrder]:
    return [SecondOrder(equation.joined().products, has_added) for equation in equations]


def _round(
    quantized: QuantizedNet, name: str, matrices: list[np.ndarray], rounders: list[SecondOrder]
) -> list[Rounded]:
    """The Rounded of each group of a layer, whose levels and scales are put into `quantized`."""
    blob = next(layer for layer in quantized.layers if layer.name == name).blobs[0]
    assert blob.dictionary is not None
    bits = quantized.dictionaries[blob.dictionary].bits
    parts = [rounder.round(matrix, bits, blob.half) for matrix, rounder in zip(matrices, rounders)]
    levels = np.concatenate([part.levels for part in parts], axis=1).T + largest_level(bits)
    blob.indices = levels.reshape(-1).astype(index_type(bits))
    blob.scales = np.concatenate([part.scale for part in parts]).astype(np.float32)
    fitted = np.concatenate([matrix[: len(part.levels)] for matrix, part in zip(matrices, parts)], axis=1).T
    blob.error = relative_error(fitted.reshape(blob.shape), blob_values(quantized, blob))
    return parts


def _take_vectors(quantized: QuantizedNet, net: caffe.Net) -> None:
    """Take what is kept as it is from a caffe.Net, rounded where it is kept in half precision."""
    for layer in quantized.layers:
        for blob, own in zip(layer.blobs, net.params.get(layer.name, ())):
            if blob.floats is not None:
                values = np.array(own.data).reshape(-1)
                blob.floats = values.astype(np.float16).astype(np.float32) if blob.half else values
