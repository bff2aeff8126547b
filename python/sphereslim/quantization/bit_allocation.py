"""Bits per layer under a size budget, from the measured output distance of quantizing each layer by itself.

Every layer is quantized alone at every width and the distance of the outputs is measured. Distances of single
layers are taken to add up (Zhou et al., Adaptive Quantization for Deep Neural Network, AAAI 2018). Under that
assumption the widths that minimise the sum for a number of bytes are found by dynamic programming (`knapsack`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from sphereslim.engine import Blob, caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.files import ResultsFile
from sphereslim.knapsack import least_losses
from sphereslim.quantization.bits import FILTER
from sphereslim.quantization.file import pack_network, to_bytes
from sphereslim.quantization.indices import CODINGS
from sphereslim.quantization.inspect import blob_bytes
from sphereslim.quantization.quantize_net import quantize_net
from sphereslim.quantization.quantized_net import QuantizedNet, blob_values


class Cost(NamedTuple):
    """One layer at one width: bytes of its part of the file, and the distance it causes by itself."""

    bits: int
    bytes: int
    distance: float


Quantizer: TypeAlias = 'Callable[[caffe_pb2.NetParameter, Mapping[str, int]], QuantizedNet]'  # weights, {layer: bits}


class NetDistance(Protocol):
    """How far the outputs of a running net are from those of its original weights, for the weights it holds."""

    net: caffe.Net

    def __call__(self) -> float: ...


def quantizable_layers(net: caffe_pb2.NetParameter, scheme: str = 'log', only: str = 'all') -> list[str]:
    """Names of the layers that `quantize_net` would quantize."""
    quantized = quantize_net(net, 8, scheme, 'layer', only)
    return [layer.name for layer in quantized.layers if any(blob.dictionary is not None for blob in layer.blobs)]


def layer_cost(
    net: caffe_pb2.NetParameter, distance: NetDistance, name: str, bits: int, coding: str, quantize: Quantizer
) -> Cost:
    """Cost of layer `name` of the NetParameter `net`, as float32 but for this layer, which `quantize` rounds.

    `distance()` is that of the weights that the `caffe.Net` `distance.net` holds; they are the same after as before. A
    layer that only the weights have, such as the classifier of the training, costs no distance at any width.
    """
    quantized = quantize(_alone(net, name), {name: bits})
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
    coding: str,
    quantize: Quantizer,
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
        known.setdefault(name, []).append(layer_cost(net, distance, name, bits, coding, quantize))
        if position + 1 == len(missing) or missing[position + 1][0] != name:
            kept.keep(name, known[name])
    return {name: [cost for cost in known[name] if cost.bits in widths] for name in layers}


def allocate(costs: Mapping[str, Sequence[Cost]], budget: int, overhead: int) -> dict[str, int]:
    """{layer: bits} for {layer: [Cost]}: least sum of distances with overhead + sum of bytes <= budget.

    Raises SlimError when even the smallest widths do not fit.
    """
    chosen = least_losses(
        {name: [(c.bytes, c.distance) for c in own] for name, own in costs.items()}, budget - overhead
    )
    if chosen is None:
        least = overhead + sum(min(cost.bytes for cost in points) for points in costs.values())
        raise SlimError(f'budget {budget} bytes: the smallest widths take {least} bytes')
    return {name: costs[name][number].bits for name, number in chosen.items()}


def fit_budget(
    costs: Mapping[str, Sequence[Cost]],
    budget: int,
    coding: str,
    outline: Callable[[dict[str, int]], QuantizedNet],
    build: Callable[[dict[str, int]], QuantizedNet],
    tell: Callable[[int], object] = lambda size: None,
) -> tuple[QuantizedNet, dict[str, int]]:
    """(QuantizedNet, {layer: bits}) whose file is at most `budget` bytes; `build` makes the net of {layer: bits}.

    `outline` makes one of about the same size at once, which says what a file takes beside the layers. `tell` is
    called with the size of a file that is still too large, before another try. SlimError where the smallest widths are.
    """
    least = {name: min(points, key=lambda point: point.bytes) for name, points in costs.items()}
    smallest = {name: cost.bits for name, cost in least.items()}
    least_size = len(to_bytes(outline(smallest), coding))
    overhead = least_size - sum(cost.bytes for cost in least.values())
    allowed = budget
    while True:
        bits = allocate(costs, allowed, overhead)
        quantized = build(bits)
        size = len(to_bytes(quantized, coding))
        if size <= budget:
            return quantized, bits
        if allowed <= least_size:
            raise SlimError(f'budget {budget} bytes: the smallest widths take {size} bytes')
        tell(size)
        # Lengths of fields grow with what they count, and coded indices are not as long in another net.
        allowed = max(allowed - (size - budget), least_size)


def _alone(net: caffe_pb2.NetParameter, name: str) -> caffe_pb2.NetParameter:
    """A NetParameter of one layer."""
    field = 'layer' if net.layer else 'layers'
    part = type(net)()
    getattr(part, field).extend(layer for layer in getattr(net, field) if layer.name == name)
    return part


def _bytes(quantized: QuantizedNet, coding: str) -> int:
    """What a layer takes; levels that all layers of equal bits share are no part of it."""
    network = pack_network(quantized, CODINGS[coding])
    own = () if quantized.scheme == FILTER else network.dictionary
    return sum(len(dictionary.values) for dictionary in own) + sum(
        blob_bytes(blob) for layer in network.layer for blob in layer.blob
    )


def _write(params: Sequence[Blob], values: Sequence[np.ndarray]) -> None:
    for blob, value in zip(params, values):
        blob.data[...] = np.reshape(value, blob.data.shape)
