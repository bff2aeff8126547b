"""Bits per layer under a size budget, from the measured output distance of quantizing each layer by itself.

Every layer is quantized alone at every width and the distance of the outputs is measured. Distances of single
layers are taken to add up (Zhou et al., Adaptive Quantization for Deep Neural Network, AAAI 2018). Under that
assumption the widths that minimise the sum for a number of bytes are found on the convex hulls of the layers'
(bytes, distance) curves, by taking the steepest step first (Shoham and Gersho, Efficient bit allocation for an
arbitrary set of quantizers, IEEE Trans. ASSP 1988).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from sphereslim.engine import Blob, caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.files import ResultsFile
from sphereslim.quantization.file import pack_network, to_bytes
from sphereslim.quantization.indices import CODINGS
from sphereslim.quantization.quantize_net import quantize_net
from sphereslim.quantization.quantized_net import QuantizedNet, blob_values


class Cost(NamedTuple):
    """One layer at one width: bytes of its part of the file, and the distance it causes by itself."""

    bits: int
    bytes: int
    distance: float


class NetDistance(Protocol):
    """How far the outputs of a running net are from those of its original weights, for the weights it holds."""

    net: caffe.Net

    def __call__(self) -> float: ...


def quantizable_layers(net: caffe_pb2.NetParameter, scheme: str = 'log', only: str = 'all') -> list[str]:
    """Names of the layers that `quantize_net` would quantize."""
    quantized = quantize_net(net, 8, scheme, 'layer', only)
    return [layer.name for layer in quantized.layers if any(blob.dictionary is not None for blob in layer.blobs)]


def layer_cost(
    net: caffe_pb2.NetParameter, distance: NetDistance, name: str, bits: int, scheme: str, coding: str
) -> Cost:
    """Cost of layer `name` of the NetParameter `net`, as float32 but for this layer.

    `distance()` is that of the weights that the `caffe.Net` `distance.net` holds; they are the same after as before. A
    layer that only the weights have, such as the classifier of the training, costs no distance at any width.
    """
    quantized = quantize_net(_alone(net, name), {name: bits}, scheme)
    values = [blob_values(quantized, blob) for blob in quantized.layers[0].blobs]
    if name not in distance.net.params:
        return Cost(bits, _bytes(quantized, coding), 0.0)
    params = distance.net.params[name]
    before = [blob.data.copy() for blob in params]
    _write(params, values)
    changed = distance()
    _write(params, before)
    return Cost(bits, _bytes(quantized, coding), changed)


def measure_costs(
    net: caffe_pb2.NetParameter,
    distance: NetDistance,
    layers: Sequence[str],
    widths: Sequence[int],
    scheme: str,
    coding: str,
    cache: str | Path,
    subject: Mapping[str, Any],
    progress: Callable[[Iterable[Any]], Iterable[Any]],
) -> dict[str, list[Cost]]:
    """{layer: [Cost]} for `layers` at `widths`, read from the file `cache` as far as it goes.

    The cache, a ResultsFile of `subject`, is written after every layer. `progress` wraps the list of (layer, bits)
    still to measure, as tqdm does.
    """
    kept = ResultsFile(cache, subject)
    known = {name: [Cost(*cost) for cost in costs] for name, costs in kept.results.items()}
    missing = [
        (name, bits) for name in layers for bits in widths if bits not in {cost.bits for cost in known.get(name, [])}
    ]
    for position, (name, bits) in enumerate(progress(missing)):
        known.setdefault(name, []).append(layer_cost(net, distance, name, bits, scheme, coding))
        if position + 1 == len(missing) or missing[position + 1][0] != name:
            kept.keep(name, known[name])
    return {name: [cost for cost in known[name] if cost.bits in widths] for name in layers}


def allocate(costs: Mapping[str, Sequence[Cost]], budget: int, overhead: int) -> dict[str, int]:
    """{layer: bits} for {layer: [Cost]}: least sum of distances with overhead + sum of bytes <= budget.

    Raises SlimError when even the smallest widths do not fit.
    """
    hulls = {name: lower_hull(points) for name, points in costs.items()}
    place = dict.fromkeys(hulls, 0)
    used = overhead + sum(hull[0].bytes for hull in hulls.values())
    if used > budget:
        raise SlimError(f'budget {budget} bytes: the smallest widths take {used} bytes')
    steps = sorted(_steps(hulls), key=lambda step: -step[0])
    for _, name, number, extra in steps:
        # A step is only open when the one before it on the same hull was taken.
        if place[name] == number and used + extra <= budget:
            place[name], used = number + 1, used + extra
    return {name: hulls[name][i].bits for name, i in place.items()}


def fit_budget(
    net: caffe_pb2.NetParameter,
    costs: Mapping[str, Sequence[Cost]],
    budget: int,
    scheme: str,
    coding: str,
    vectors: int | None = None,
) -> tuple[QuantizedNet, dict[str, int]]:
    """(QuantizedNet, {layer: bits}) whose file is at most `budget` bytes."""

    def build(bits: Mapping[str, int]) -> tuple[QuantizedNet, int]:
        quantized = quantize_net(net, {**bits}, scheme, vectors=vectors)
        return quantized, len(to_bytes(quantized, coding))

    smallest = {name: min(points, key=lambda point: point.bytes) for name, points in costs.items()}
    overhead = build({name: cost.bits for name, cost in smallest.items()})[1] - sum(c.bytes for c in smallest.values())
    slack = 0
    while True:
        bits = allocate(costs, budget - slack, overhead)
        quantized, size = build(bits)
        if size <= budget:
            return quantized, bits
        # Varint lengths grow with the parts they count: a few bytes more than the overhead foresees.
        slack += size - budget


def lower_hull(points: Iterable[Cost]) -> list[Cost]:
    """The points of the lower convex hull of (bytes, distance), bytes ascending and distance falling."""
    hull: list[Cost] = []
    for point in sorted(points, key=lambda p: (p.bytes, p.distance)):
        if hull and point.distance >= hull[-1].distance:
            continue
        while len(hull) > 1 and _slope(hull[-1], point) >= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    return hull


def _slope(a: Cost, b: Cost) -> float:
    """Distance saved per byte on the way from a to b."""
    return (a.distance - b.distance) / max(b.bytes - a.bytes, 1e-9)


def _steps(hulls: Mapping[str, Sequence[Cost]]) -> Iterator[tuple[float, str, int, int]]:
    for name, hull in hulls.items():
        for number, (a, b) in enumerate(zip(hull, hull[1:])):
            yield _slope(a, b), name, number, b.bytes - a.bytes


def _alone(net: caffe_pb2.NetParameter, name: str) -> caffe_pb2.NetParameter:
    """A NetParameter of one layer."""
    field = 'layer' if net.layer else 'layers'
    part = type(net)()
    getattr(part, field).extend(layer for layer in getattr(net, field) if layer.name == name)
    return part


def _bytes(quantized: QuantizedNet, coding: str) -> int:
    network = pack_network(quantized, CODINGS[coding])
    return sum(len(d.values) for d in network.dictionary) + sum(
        len(b.indices) + len(b.scales) + len(b.floats) + sum(len(e.positions) for e in b.escape)
        for layer in network.layer
        for b in layer.blob
    )


def _write(params: Sequence[Blob], values: Sequence[np.ndarray]) -> None:
    for blob, value in zip(params, values):
        blob.data[...] = np.reshape(value, blob.data.shape)
