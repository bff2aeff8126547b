"""Batch-norm recalibration: the running statistics of a pruned net measured again on sampled pictures, no training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sphereslim.data.feed import Feed
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import Statistics, layer_type
from sphereslim.net.messages import copy_of
from sphereslim.net.opened import open_net
from sphereslim.net.phases import TEST, layers_in, phase_of
from sphereslim.net.weights import blob_array, set_blob_array, weight_layers
from sphereslim.sampling.sampler import Sampler

Moments = tuple[int, np.ndarray, np.ndarray]  # count, mean and sum of squared deviations


def recalibrate(
    net: caffe_pb2.NetParameter,
    weights: caffe_pb2.NetParameter,
    feed: Feed | None = None,
    batches: int | None = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> caffe_pb2.NetParameter:
    """A copy of the weights whose norms (BatchNorm, BN) hold mean and variance over the batches.

    `net` is a NetParameter, run in phase TEST unless it has data in TRAIN only; `feed`, `batches` and `progress` as in
    `Sampler`. While measuring, every norm normalises by its own batch, so that all layers can be measured in one pass:
    take batches of a few dozen at least. Memory does not grow with the number of batches.
    """
    phase = phase_of(net, TEST)
    result = copy_of(weights)
    layers = weight_layers(result)
    norms = {
        layer.name: statistics
        for layer in layers_in(net, phase)
        if (statistics := layer_type(layer).statistics) and _stores(layer, statistics, layers)
    }
    if not norms:
        raise SlimError(
            f"net '{net.name}' has no BatchNorm layer to recalibrate, nor a BN layer that stores statistics"
        )
    opened = open_net(_by_batch(net), weights, phase)
    for layer in opened.layers:
        if hasattr(layer, 'running'):  # our engine's norms say, and are told, whether they use what they store
            layer.running = False
    moments = _moments(Sampler(opened, feed, batches, progress), list(norms))
    for name, (count, mean, squares) in moments.items():
        statistics = norms[name]
        if name not in layers:
            raise SlimError(f"the weights hold no layer '{name}', expected the statistics of every norm")
        variance = squares / max(count - (not statistics.biased), 1)
        for blob, values in zip(layers[name].blobs[statistics.first :], (mean, variance, np.ones(1))):
            set_blob_array(blob, values.reshape(blob_array(blob).shape))
    return result


def _stores(layer: caffe_pb2.LayerParameter, statistics: Statistics, weights: Mapping[str, Any]) -> bool:
    """Whether a norm stores statistics, as SegNet's BN does not; True where the weights do not hold it."""
    held = weights.get(layer.name)
    return held is None or len(held.blobs) > statistics.first


def _by_batch(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """The net with every norm that has a switch for it normalising by its batch in either phase."""
    result = copy_of(net)
    for layer in result.layer:
        statistics = layer_type(layer).statistics
        if statistics and statistics.switch:
            setattr(getattr(layer, statistics.param), statistics.switch, False)
    return result


def _moments(sampler: Sampler, names: Sequence[str]) -> dict[str, Moments]:
    """{norm: what there is of each channel that it reads}."""
    sums: dict[str, Moments] = dict.fromkeys(names, (0, np.zeros(1), np.zeros(1)))
    for blobs in sampler.blobs([sampler.before(name) for name in names]):
        sums = {name: _add(sums[name], blob.astype(np.float64)) for name, blob in zip(names, blobs)}
    if not all(count for count, _, _ in sums.values()):
        raise SlimError('no batch to recalibrate on, expected at least one')
    return sums


def _add(known: Moments, blob: np.ndarray) -> Moments:
    """(count, mean, sum of squared deviations) with a further blob (N, C, …), merged without cancellation."""
    count, mean, squares = known
    values = np.moveaxis(blob, 1, 0).reshape(blob.shape[1], -1)
    added, own = values.shape[1], values.mean(axis=1)
    total, shift = count + added, own - mean
    squares = squares + ((values - own[:, None]) ** 2).sum(axis=1) + shift**2 * (count * added / total)
    return total, mean + shift * (added / total), squares
