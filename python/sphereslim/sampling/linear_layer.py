"""A convolution or inner product inside a caffe.Net as matrices (inputs × outputs), read and written in place."""

import numpy as np

from sphereslim.errors import SlimError
from sphereslim.net.layer_types import layer_type, types_with
from sphereslim.sampling.patches import patches_at, sample_places, window_of


def is_linear(trace, name):
    """Whether a layer is one that `LinearLayer` takes."""
    layer = trace.layers.get(name)
    return layer is not None and layer_type(layer).refittable and name in trace.made


def sharers(trace, name, net):
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

    Added is the layer's bias, or without one minus the running mean of a BatchNorm if nothing else reads the layer.
    """

    def __init__(self, trace, name, net):
        self.layer = trace.layers.get(name)
        if not is_linear(trace, name):
            types = ' or '.join(types_with('refittable'))
            raise SlimError(
                f"layer '{name}' cannot be reconstructed, expected a layer of type {types} that is not depthwise"
            )
        self._weights, *bias = net.params[name]
        self.has_bias = bool(bias)
        self._added, self._factor = (bias[0], 1.0) if bias else _batch_mean(trace, self.layer, net)
        self._groups = self.layer.convolution_param.group if layer_type(self.layer).convolves else 1
        self._transposed = self.layer.type == 'InnerProduct' and self.layer.inner_product_param.transpose

    def added(self):
        """What is added to each output, or None."""
        return None if self._added is None else self._factor * np.array(self._added.data, np.float64).ravel()

    def adds_as(self, other):
        """Whether a layer of the same net that shares its weights adds the same to its outputs, or both nothing."""
        if self.has_bias and other.has_bias:
            return np.may_share_memory(self._added.data, other._added.data)
        return self._added is None and other._added is None

    def matrices(self):
        """[(inputs × outputs)] per group, float64."""
        weights = np.array(self._weights.data, np.float64)
        rows = weights if self._transposed else weights.reshape(len(weights), -1).T
        if self._added is not None:
            rows = np.concatenate([rows, self.added()[None]])
        return np.split(rows, self._groups, axis=1)

    def store(self, matrices):
        """Write such matrices back into the net."""
        rows = np.concatenate(matrices, axis=1)
        if self._added is not None:
            self._added.data[...] = (rows[-1] / self._factor).reshape(self._added.data.shape)
            rows = rows[:-1]
        self._weights.data[...] = rows if self._transposed else rows.T.reshape(self._weights.data.shape)

    def rows(self, inputs, wanted, lift, places, rng):
        """[(x, y)] per group: what the layer reads and should give, `wanted` + `lift` (a number per output).

        A convolution is sampled at `places` random output places of each picture, an inner product gives a row each.
        """
        parts, where = self.read(inputs, places, rng)
        y = wanted.reshape(*wanted.shape[:2], -1)[:, :, 0] if where is None else wanted[where[0], :, where[1], where[2]]
        return list(zip(parts, np.split(y + lift, self._groups, axis=1)))

    def read(self, inputs, places, rng):
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


def _batch_mean(trace, layer, net):
    """(blob of running means, factor that makes it what is added) of the BatchNorm behind a layer, or (None, 0)."""
    readers = [trace.layers[name] for name in trace.readers.get((layer.name, layer.top[0]), ())]
    if len(layer.top) > 1 or len(readers) != 1 or readers[0].type != 'BatchNorm' or readers[0].name not in net.params:
        return None, 0.0
    mean, _, count = net.params[readers[0].name]
    scale = float(count.data.ravel()[0])
    return (mean, -1.0 / scale) if scale else (None, 0.0)
