"""How much each channel adds to the outputs of the layers that read it, gathered in a Gram matrix.

At a sampled output y of a reader, channel c adds z_c = Σ w·x over the part of the sum that reads c, so y is Σ z_c and
the bias. ThiNet and LASSO channel pruning need no more than G = Σ zzᵀ over all samples, which does not grow with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from sphereslim.channels.groups import Member
from sphereslim.criteria.context import Context
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import layer_type, types_with
from sphereslim.sampling.patches import Window, patches_at, sample_places, window_of


def contributions(context: Context, places: int) -> dict[str, np.ndarray]:
    """{reader: G (units × units)} over the batches, from `places` random outputs of each reader and picture.

    An output is a random filter at a random place. Each G is divided by the sum of squares of the sampled outputs
    (without bias), so that no reader outweighs another.
    """
    layers, members = context.groups.trace.layers, readers_in(context)
    samplers = [_sampler_of(layers[m.layer], context, len(m.units)) for m in members]
    grams = [np.zeros((context.group.size,) * 2) for _ in members]
    for blobs in inputs_of(context, members):
        for gram, member, sample, read in zip(grams, members, samplers, blobs):
            for blob in read:
                units = context.per_unit(sample(blob, places, context.rng), member.units)
                gram += units.T @ units
    return {m.layer: gram / (gram.sum() or 1.0) for m, gram in zip(members, grams)}


def readers_in(context: Context) -> list[Member]:
    """The Members of the group that are the input channels of a layer with a weight for each; SlimError for none."""
    layers = context.groups.trace.layers
    members = [
        m for m in context.group.members if (m.role, m.blob) == ('input', 0) and layer_type(layers[m.layer]).sums
    ]
    if not members:
        raise SlimError(
            f"layer '{context.group.name}': no {' or '.join(types_with('sums'))} reads its channels, "
            'expected one to measure contributions at'
        )
    return members


def inputs_of(context: Context, members: Sequence[Member]) -> Iterator[list[list[np.ndarray]]]:
    """For every batch, and in it for every member's layer, the list of the blobs that the layer reads."""
    stops = [[stop for stop, _ in context.sampler.through(m.layer)] for m in members]
    for blobs in context.sampler.blobs([stop for own in stops for stop in own]):
        left = iter(blobs)
        yield [list(islice(left, len(own))) for own in stops]


def total(grams: Mapping[str, np.ndarray]) -> np.ndarray:
    """One Gram matrix of all readers together."""
    return np.asarray(sum(grams.values()))


def _sampler_of(layer: caffe_pb2.LayerParameter, context: Context, channels: int) -> Callable[..., Any]:
    """A function (blob, places, rng) -> z (samples × the reader's input channels)."""
    weights = context.weights(layer.name)
    if layer_type(layer).convolves:
        window, groups = window_of(layer), layer.convolution_param.group
        return lambda blob, places, rng: _at_convolution(blob, weights, window, groups, places, rng)
    if layer.type == 'InnerProduct' and layer.inner_product_param.transpose:
        weights = weights.T
    return lambda blob, places, rng: _at_matrix(blob, weights, channels, places, rng)


def _at_convolution(
    blob: np.ndarray, weights: np.ndarray, window: Window, groups: int, places: int, rng: np.random.Generator
) -> np.ndarray:
    where = sample_places(blob.shape, window, places, rng)
    patches = patches_at(blob, window, where)
    filters = rng.integers(0, len(weights), len(patches))
    channels = weights.shape[1]
    patches = patches.reshape(len(patches), groups, channels, *patches.shape[2:])
    read = patches[np.arange(len(patches)), filters * groups // len(weights)]
    return np.einsum('scij,scij->sc', read, weights[filters])


def _at_matrix(
    blob: np.ndarray, weights: np.ndarray, channels: int, places: int, rng: np.random.Generator
) -> np.ndarray:
    rows = np.repeat(blob.reshape(len(blob), -1), places, axis=0)
    products = rows * weights[rng.integers(0, len(weights), len(rows))]
    return products.reshape(len(rows), channels, -1).sum(axis=2)
