"""A convolution or inner product inside a caffe.Net as matrices (inputs × outputs), read and written in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from sphereslim.engine import Blob, caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import layer_type, types_with
from sphereslim.sampling.patches import patches_at, sample_places, window_of


class FollowedNet(Protocol):
    """What following the channels of a net told about its layers, see `channels.trace.Trace`."""

    layers: dict[str, caffe_pb2.LayerParameter]
    made: dict[str, Any]
    tops: dict[tuple[str, str], Any]
    readers: dict[tuple[str, str], set[str]]


def is_linear(trace: FollowedNet, name: str) -> bool:
    """Whether a layer is one that `LinearLayer` takes."""
    layer = trace.layers.get(name)
    return layer is not None and layer_type(layer).refittable and (name in trace.made or is_depthwise(trace, name))


def is_depthwise(trace: FollowedNet, name: str) -> bool:
    """Whether a layer is a convolution with one filter for each channel."""
    layer = trace.layers[name]
    size = layer.convolution_param.num_output
    single = layer_type(layer).convolves and layer.convolution_param.group == size > 1
    return single and all((name, top) in trace.tops and len(trace.tops[name, top].ids) == size for top in layer.top)


def outputs_of(trace: FollowedNet, name: str) -> np.ndarray:
    """The ids of the channels that a layer `LinearLayer` takes gives."""
    layer = trace.layers[name]
    return np.asarray((trace.made[name] if name in trace.made else trace.tops[name, layer.top[0]]).ids)


def sharers(trace: FollowedNet, name: str, net: caffe.Net) -> list[str]:
    """The layers `LinearLayer` takes, `name` among them, of which a caffe.Net holds some parameter only once."""
    own = [blob.data for blob in net.params[name]]
    return [
        other
        for other in trace.layers
        if other == name
        or is_linear(trace, other)
        and other in net.params
        and any(np.may_share_memory(one, blob.data) for one, blob in zip(own, net.params[other]))
    ]


class LinearLayer:
    """The weights of one layer, a matrix per group of a convolution, and what is added to its outputs as a last row.

    Added is the layer's bias, or without one minus the running mean of a norm if nothing else reads the layer.
    """

    def __init__(self, trace: FollowedNet, name: str, net: caffe.Net) -> None:
        if not is_linear(trace, name):
            types = ' or '.join(types_with('refittable'))
            raise SlimError(
                f"layer '{name}' cannot be reconstructed, expected a layer of type {types} whose channels are followed"
            )
        self.layer = trace.layers[name]
        self._weights, *bias = net.params[name]
        self.has_bias = bool(bias)
        found: tuple[Blob | None, float] = (bias[0], 1.0) if bias else _batch_mean(trace, self.layer, net)
        self._added, self._factor = found
        self._groups = self.layer.convolution_param.group if layer_type(self.layer).convolves else 1
        if is_depthwise(trace, name):  # of which a pruned net has fewer groups than the trace knows of
            self._groups = len(self._weights.data)
        self._transposed = self.layer.type == 'InnerProduct' and self.layer.inner_product_param.transpose

    def added(self) -> np.ndarray | None:
        """What is added to each output, or None."""
        return None if self._added is None else self._factor * np.array(self._added.data, np.float64).ravel()

    def adds_as(self, other: LinearLayer) -> bool:
        """Whether a layer of the same net that shares its weights adds the same to its outputs, or both nothing."""
        if self._added is None or other._added is None:
            return self._added is other._added
        return self.has_bias and other.has_bias and np.may_share_memory(self._added.data, other._added.data)

    def matrices(self) -> list[np.ndarray]:
        """[(inputs × outputs)] per group, float64."""
        return self._as_matrices(self._weights.data, self.added())

    def gradients(self) -> list[np.ndarray]:
        """The diffs of the parameters as `matrices`; zero for the mean of a norm, which has none."""
        added = None if self._added is None else np.array(self._added.diff, np.float64).ravel() * self.has_bias
        return self._as_matrices(self._weights.diff, added)

    def _as_matrices(self, weights: np.ndarray, added: np.ndarray | None) -> list[np.ndarray]:
        weights = np.array(weights, np.float64)
        rows = weights if self._transposed else weights.reshape(len(weights), -1).T
        if added is not None:
            rows = np.concatenate([rows, added[None]])
        return np.split(rows, self._groups, axis=1)

    def store(self, matrices: Sequence[np.ndarray]) -> None:
        """Write such matrices back into the net."""
        rows = np.concatenate(matrices, axis=1)
        if self._added is not None:
            self._added.data[...] = (rows[-1] / self._factor).reshape(self._added.data.shape)
            rows = rows[:-1]
        self._weights.data[...] = rows if self._transposed else rows.T.reshape(self._weights.data.shape)

    def rows(
        self, inputs: np.ndarray, wanted: np.ndarray, lift: np.ndarray | float, places: int, rng: np.random.Generator
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """[(x, y)] per group: what the layer reads and should give, `wanted` + `lift` (a number per output).

        A convolution is sampled at `places` random output places of each picture, an inner product gives a row each.
        """
        parts, where = self.read(inputs, places, rng)
        y = wanted.reshape(*wanted.shape[:2], -1)[:, :, 0] if where is None else wanted[where[0], :, where[1], where[2]]
        return list(zip(parts, np.split(y + lift, self._groups, axis=1)))

    def read(
        self, inputs: np.ndarray, places: int, rng: np.random.Generator
    ) -> tuple[list[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray] | None]:
        """([x] per group, the places sampled or None): rows of what the layer reads, as in `rows`."""
        x, where = inputs, None
        if layer_type(self.layer).convolves:
            window = window_of(self.layer)
            where = sample_places(inputs.shape, window, places, rng)
            x = patches_at(inputs, window, where)
        parts = [part.reshape(len(x), -1) for part in np.split(x, self._groups, axis=1)]
        if self._added is not None:
            parts = [np.concatenate([part, np.ones((len(x), 1), part.dtype)], axis=1) for part in parts]
        return parts, where


def _batch_mean(trace: FollowedNet, layer: caffe_pb2.LayerParameter, net: caffe.Net) -> tuple[Blob | None, float]:
    """(blob of running means, factor that makes it what is added) of the norm behind a layer, or (None, 0)."""
    readers = [trace.layers[name] for name in trace.readers.get((layer.name, layer.top[0]), ())]
    statistics = layer_type(readers[0]).statistics if readers else None
    if len(layer.top) > 1 or len(readers) != 1 or statistics is None or readers[0].name not in net.params:
        return None, 0.0
    blobs = list(net.params[readers[0].name])[statistics.first :]
    if statistics.stored([np.ravel(blob.data) for blob in net.params[readers[0].name]]) is None:
        return None, 0.0
    return blobs[0], -1.0 / float(blobs[2].data.ravel()[0]) if len(blobs) > 2 else -1.0
