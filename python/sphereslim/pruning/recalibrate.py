"""Batch-norm recalibration: the running statistics of a pruned net measured again on sampled pictures, no training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from sphereslim.data.feed import Feed
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
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
    """A copy of the weights whose BatchNorm layers hold mean and variance over the batches.

    `net` is a NetParameter, run in phase TEST unless it has data in TRAIN only; `feed`, `batches` and `progress` as in
    `Sampler`. While measuring, every BatchNorm normalises by its own batch, so that all layers can be measured in one
    pass: take batches of a few dozen at least. Memory does not grow with the number of batches.
    """
    phase = phase_of(net, TEST)
    names = [layer.name for layer in layers_in(net, phase) if layer.type == 'BatchNorm']
    if not names:
        raise SlimError(f"net '{net.name}' has no BatchNorm layer to recalibrate")
    sampler = Sampler(open_net(_by_batch(net), weights, phase), feed, batches, progress)
    moments = _moments(sampler, names)
    result = copy_of(weights)
    layers = weight_layers(result)
    for name, (mean, variance) in moments.items():
        if name not in layers:
            raise SlimError(f"the weights hold no layer '{name}', expected the statistics of every BatchNorm")
        for blob, values in zip(layers[name].blobs, (mean, variance, np.ones(1))):
            set_blob_array(blob, values.reshape(blob_array(blob).shape))
    return result


def _by_batch(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """The net with every BatchNorm normalising by its batch in either phase."""
    result = copy_of(net)
    for layer in result.layer:
        if layer.type == 'BatchNorm':
            layer.batch_norm_param.use_global_stats = False
    return result


def _moments(sampler: Sampler, names: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{BatchNorm layer: (mean, unbiased variance)} per channel of what it reads."""
    sums: dict[str, Moments] = dict.fromkeys(names, (0, np.zeros(1), np.zeros(1)))
    for blobs in sampler.blobs([sampler.before(name) for name in names]):
        sums = {name: _add(sums[name], blob.astype(np.float64)) for name, blob in zip(names, blobs)}
    if not all(count for count, _, _ in sums.values()):
        raise SlimError('no batch to recalibrate on, expected at least one')
    return {name: (mean, squares / max(count - 1, 1)) for name, (count, mean, squares) in sums.items()}


def _add(known: Moments, blob: np.ndarray) -> Moments:
    """(count, mean, sum of squared deviations) with a further blob (N, C, …), merged without cancellation."""
    count, mean, squares = known
    values = np.moveaxis(blob, 1, 0).reshape(blob.shape[1], -1)
    added, own = values.shape[1], values.mean(axis=1)
    total, shift = count + added, own - mean
    squares = squares + ((values - own[:, None]) ** 2).sum(axis=1) + shift**2 * (count * added / total)
    return total, mean + shift * (added / total), squares
