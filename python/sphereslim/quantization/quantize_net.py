"""Quantizing a NetParameter and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.weights import fill_blob, finite_array, is_legacy, net_layers, type_name
from sphereslim.quantization.bits import FILTER, FLOAT_BITS, HALF, bits_of_layers, check_bits, is_vector
from sphereslim.quantization.indices import build_dictionary, index, index_type
from sphereslim.quantization.quantized_net import Dictionary, QuantizedBlob, QuantizedLayer, QuantizedNet, blob_values
from sphereslim.quantization.schemes import (
    SCHEMES,
    filter_codes,
    filter_levels,
    fits_half,
    merge_spans,
    scales_fit_half,
)


class _Target(NamedTuple):
    """A blob to be quantized: its place in the result, its weights and the bits asked for."""

    blob: QuantizedBlob
    weights: np.ndarray
    bits: int


def quantize_net(
    net: caffe_pb2.NetParameter,
    bits: Mapping[str, int] | int,
    scheme: str = 'log',
    scope: str = 'layer',
    only: str = 'all',
    vectors: int | str | None = None,
) -> QuantizedNet:
    """A QuantizedNet of the NetParameter `net`.

    bits: 1 to 16, or {layer name: bits} with `*` for all others and 32 for "as it is".
    scheme: log, log+sign, linear (see `schemes`), linear-filter (see `filters`) or binary (sign times the mean
    magnitude of each filter, 1 bit).
    scope: 'layer' gives every blob its own range and dictionary, 'network' one range for all.
    only: 'conv' quantizes convolution layers alone, 'all' every layer.
    vectors: bits for biases, slopes and norm statistics, which stay float32 when it is None; or 'half', which puts the
    vectors of all layers but BatchNorm's statistics, and scales, into half precision as far as that holds them.
    Raises SlimError.
    """
    if scope not in ('layer', 'network'):
        raise SlimError(f'scope {scope}: expected layer or network')
    half = vectors == HALF
    if isinstance(vectors, int):
        check_bits(vectors, scheme, 'bits of vectors')
    elif vectors is not None and not half:
        raise SlimError(f'vectors {vectors}: expected a number of bits or {HALF}')
    with_blobs = [layer for layer in net_layers(net) if layer.blobs]
    widths = bits_of_layers(bits, [(layer.name, type_name(layer)) for layer in with_blobs], scheme, only)
    layers, targets = [], []
    for layer in with_blobs:
        quantized, wanted = _plan_layer(layer, widths.get(layer.name), vectors)
        if half and quantized.type != 'BatchNorm' and _asked(bits, layer.name) != FLOAT_BITS:
            _halve(quantized.blobs)
        layers.append(quantized)
        targets += wanted
    result = QuantizedNet(net.name, scheme, scope, [], layers)
    for group in _groups(targets, scheme, scope):
        if scheme == 'binary':
            _binarize(result, group)
        elif scheme == FILTER:
            _quantize_filters(result, group, half)
        else:
            _quantize(result, group, targets)
    for target in targets:
        target.blob.error = relative_error(target.weights, blob_values(result, target.blob))
    return result


def relative_error(weights: np.ndarray, quantized: np.ndarray) -> float:
    """|quantized - weights| / |weights| with Euclidean norms; 0 for weights that are all zero."""
    norm = np.linalg.norm(weights.astype(np.float64))
    return float(np.linalg.norm(quantized.astype(np.float64) - weights) / norm) if norm else 0.0


def dequantize(quantized: QuantizedNet) -> caffe_pb2.NetParameter:
    """The ordinary NetParameter: names, types and float32 blobs Q(x) of a QuantizedNet."""
    net = caffe_pb2.NetParameter(name=quantized.name)
    for layer in quantized.layers:
        target = net.layer.add(name=layer.name, type=layer.type)
        for blob in layer.blobs:
            fill_blob(target.blobs.add(), blob_values(quantized, blob), blob.legacy)
    return net


def _plan_layer(
    layer: caffe_pb2.LayerParameter, bits: int | None, vectors: int | str | None
) -> tuple[QuantizedLayer, list[_Target]]:
    blobs, targets = [], []
    for number, proto in enumerate(layer.blobs):
        weights = finite_array(proto, f'layer {layer.name}, blob {number}')
        width = vectors if is_vector(weights.shape) else bits
        blob = QuantizedBlob(weights.shape, is_legacy(proto))
        blobs.append(blob)
        if bits is None or not isinstance(width, int) or not weights.size:
            blob.floats = weights.reshape(-1)
        else:
            targets.append(_Target(blob, weights, width))
    return QuantizedLayer(layer.name, type_name(layer), blobs), targets


def _asked(bits: Mapping[str, int] | int, name: str) -> int | None:
    """What is asked for a layer by its name."""
    return None if isinstance(bits, int) else bits.get(name)


def _halve(blobs: Sequence[QuantizedBlob]) -> None:
    """Put vectors that are kept as they are into half precision where that holds them."""
    for blob in blobs:
        if blob.floats is not None and is_vector(blob.shape) and fits_half(blob.floats):
            blob.half, blob.floats = True, blob.floats.astype(np.float16).astype(np.float32)


def _groups(targets: list[_Target], scheme: str, scope: str) -> list[list[_Target]]:
    """Targets that share a dictionary."""
    if scheme == 'binary':
        return [targets] if targets else []
    if scope == 'layer' and scheme != FILTER:
        return [[target] for target in targets]
    return [[t for t in targets if t.bits == bits] for bits in sorted({t.bits for t in targets})]


def _quantize(result: QuantizedNet, group: Sequence[_Target], everything: Sequence[_Target]) -> None:
    scheme = SCHEMES[result.scheme]
    bits = group[0].bits
    in_range = everything if result.scope == 'network' else group
    span = merge_spans([scheme.span(target.weights) for target in in_range])
    codes = [scheme.codes(target.weights.reshape(-1), span, bits) for target in group]
    dictionary, entry_of = build_dictionary(codes, scheme.table(span, bits), scheme.index_bits(bits))
    for target, code in zip(group, codes):
        target.blob.indices, target.blob.escapes = index(code, entry_of, dictionary)
        target.blob.dictionary = len(result.dictionaries)
    result.dictionaries.append(dictionary)


def _quantize_filters(result: QuantizedNet, group: Sequence[_Target], half: bool) -> None:
    bits = group[0].bits
    for target in group:
        target.blob.half = half and scales_fit_half(target.weights, bits)
        codes, target.blob.scales = filter_codes(target.weights, bits, target.blob.half)
        target.blob.indices = codes.astype(index_type(bits))
        target.blob.dictionary = len(result.dictionaries)
    result.dictionaries.append(Dictionary(bits, filter_levels(bits)))


def _binarize(result: QuantizedNet, group: Sequence[_Target]) -> None:
    for target in group:
        target.blob.indices = (target.weights.reshape(-1) >= 0).astype(np.uint8)
        target.blob.scales = filter_scales(target.weights)
        target.blob.dictionary = 0
    result.dictionaries.append(Dictionary(1, np.array([-1, 1], np.float32)))


def filter_scales(weights: np.ndarray) -> np.ndarray:
    """Mean |w| of each filter (slice of axis 0), float32: the scale that XNOR-Net (Rastegari et al. 2016) derives
    as the least-squares one for binary weights."""
    return np.abs(weights.reshape(len(weights), -1)).mean(axis=1, dtype=np.float64).astype(np.float32)
