"""Layers whose outputs are added to others: what a layer has to give for the sum to be what it was.

Source: He, Zhang, Sun, Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017, section 3.3: the last
layer of a residual block is fitted to the whole net's sum less what the pruned net's shortcut brings, so that it makes
up for the errors of the blocks before it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sphereslim.channels.trace import Trace
from sphereslim.engine import caffe, caffe_pb2
from sphereslim.net.layer_types import layer_type

_LEAST = 1e-6  # of the largest scale: below it a channel says nothing about what its layer gives


@dataclass(frozen=True, eq=False)
class Shortcut:
    """The Eltwise `layer` gives coefficient · (scale · y + shift) + Σ c · other, for a layer's outputs y.

    `scale` and `shift` hold a number per output, `others` pairs (c, blob).
    """

    layer: str
    top: str
    coefficient: float
    scale: np.ndarray
    shift: np.ndarray
    others: tuple[tuple[float, str], ...]

    def wanted(self, total: np.ndarray, others: Sequence[np.ndarray], usual: np.ndarray) -> np.ndarray:
        """The outputs (N, C, …) that make the sum `total` beside the blobs `others`; `usual` where nothing tells."""
        rest = total - sum(c * other for (c, _), other in zip(self.others, others))
        per_channel = (1, -1) + (1,) * (total.ndim - 2)
        told = np.abs(self.scale) > _LEAST * np.abs(self.scale).max()
        scale = np.where(told, self.scale, 1).reshape(per_channel)
        found = (rest / self.coefficient - self.shift.reshape(per_channel)) / scale
        return np.where(told.reshape(per_channel), found, usual)


def shortcut_of(trace: Trace, name: str, top: str, net: caffe.Net) -> Shortcut | None:
    """The Shortcut behind a layer's `top` in a caffe.Net of phase TEST, None where no norms and scales lead to a sum.

    None too where the net makes another part of the sum only after the layer.
    """
    here = name, top
    scale: np.ndarray | float = 1.0
    shift: np.ndarray | float = 0.0
    while True:
        readers = [trace.layers[reader] for reader in trace.readers.get(here, ())]
        if len(readers) != 1:
            return None
        reader = readers[0]
        if reader.type == 'Eltwise':
            size = net.blobs[top].data.shape[1]
            return _sum(trace, name, here, reader, np.broadcast_to(scale, size), np.broadcast_to(shift, size), net)
        step = _affine(reader, net)
        if step is None:
            return None
        scale, shift = scale * step[0], shift * step[0] + step[1]
        here = (reader.name, reader.top[0])


def _affine(layer: caffe_pb2.LayerParameter, net: caffe.Net) -> tuple[np.ndarray, np.ndarray | float] | None:
    """(factor, summand) per channel of a norm with stored statistics or of a Scale, else None."""
    values = [np.array(blob.data, np.float64).ravel() for blob in net.params.get(layer.name, ())]
    statistics = layer_type(layer).statistics
    if statistics:
        return statistics.affine(layer, values)
    scale = layer.scale_param
    if layer.type == 'Scale' and len(layer.bottom) == 1 and (scale.axis, scale.num_axes) == (1, 1):
        return values[0], values[1] if len(values) > 1 else 0.0
    return None


def _sum(
    trace: Trace,
    name: str,
    here: tuple[str, str],
    layer: caffe_pb2.LayerParameter,
    scale: np.ndarray,
    shift: np.ndarray,
    net: caffe.Net,
) -> Shortcut | None:
    if layer.eltwise_param.operation != caffe_pb2.EltwiseParameter.SUM or list(layer.bottom).count(here[1]) != 1:
        return None
    order = list(net._layer_names)
    before = set(order[: order.index(name)])
    coefficients = list(layer.eltwise_param.coeff) or [1.0] * len(layer.bottom)
    own, others = 0.0, []
    read = net.bottom_names[layer.name]  # what Caffe's Split layers made of the names in the prototxt
    for coefficient, blob, version in zip(coefficients, layer.bottom, read):
        if blob == here[1]:
            own = coefficient
            continue
        makers = [maker for (maker, top), readers in trace.readers.items() if top == blob and layer.name in readers]
        if not before.issuperset(makers):
            return None
        others.append((coefficient, version))
    return Shortcut(layer.name, layer.top[0], own, scale, shift, tuple(others)) if own else None
