"""Layers that make factor · x + shift of every channel in phase TEST: norms with stored statistics, scales, biases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sphereslim.engine import caffe_pb2

Blobs = Sequence[np.ndarray]


class NotFoldableError(Exception):
    """Why a layer stays as it is."""


@dataclass(frozen=True)
class Affine:
    """y = factor · x + shift, float64 of (channels,) or, for all channels alike, of one number.

    A norm says its `variance` per channel and its `eps` too.
    """

    factor: np.ndarray
    shift: np.ndarray
    variance: np.ndarray | None = None
    eps: float = 0.0

    @property
    def channels(self) -> int:
        """How many channels it tells apart, 1 for none."""
        return max(self.factor.size, self.shift.size)


def is_affine(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether a layer is of a type that may be an `Affine`."""
    return layer.type in _TYPES


def affine_of(layer: caffe_pb2.LayerParameter, blobs: Blobs, constants: Mapping[str, float]) -> tuple[str, Affine]:
    """(the blob that is scaled, the Affine) of a layer with these values.

    `constants` are the blobs of one known value. NotFoldableError says why a layer is no Affine.
    """
    blob, affine = _TYPES[layer.type](layer, blobs, constants)
    if not (np.isfinite(affine.factor).all() and np.isfinite(affine.shift).all()):
        raise NotFoldableError('its values are not all numbers')
    return blob, affine


def _batch_norm(layer: caffe_pb2.LayerParameter, blobs: Blobs, constants: Mapping[str, float]) -> tuple[str, Affine]:
    param = layer.batch_norm_param
    if param.HasField('use_global_stats') and not param.use_global_stats:
        raise NotFoldableError('normalises by its own batch (use_global_stats: false)')
    mean, variance, count = _expect(blobs, 3)
    weight = 1 / count[0] if count[0] else 0.0
    return layer.bottom[0], _norm(mean * weight, variance * weight, param.eps, np.ones(1), np.zeros(1))


def _bn(layer: caffe_pb2.LayerParameter, blobs: Blobs, constants: Mapping[str, float]) -> tuple[str, Affine]:
    """PSPNet's with four blobs, SegNet's with two."""
    param = layer.bn_param
    if len(blobs) == 2:
        if param.bn_mode != param.INFERENCE:
            raise NotFoldableError('normalises by its own batch (bn_mode is not INFERENCE)')
        return layer.bottom[0], Affine(blobs[0], blobs[1])
    slope, bias, mean, variance = _expect(blobs, 4)
    return layer.bottom[0], _norm(mean, variance, param.eps, slope, bias)


def _norm(mean: np.ndarray, variance: np.ndarray, eps: float, slope: np.ndarray, bias: np.ndarray) -> Affine:
    if (variance + eps <= 0).any():
        raise NotFoldableError('has a variance that is not above 0')
    factor = slope / np.sqrt(variance + eps)
    return Affine(factor, bias - mean * factor, variance, eps)


def _scale(layer: caffe_pb2.LayerParameter, blobs: Blobs, constants: Mapping[str, float]) -> tuple[str, Affine]:
    param = layer.scale_param
    _check_channels(layer, param.axis, blobs)
    factor, *shift = _expect(blobs, 1 + param.bias_term)
    return layer.bottom[0], Affine(factor, shift[0] if shift else np.zeros(1))


def _bias(layer: caffe_pb2.LayerParameter, blobs: Blobs, constants: Mapping[str, float]) -> tuple[str, Affine]:
    _check_channels(layer, layer.bias_param.axis, blobs)
    (shift,) = _expect(blobs, 1)
    return layer.bottom[0], Affine(np.ones(1), shift)


def _power(layer: caffe_pb2.LayerParameter, blobs: Blobs, constants: Mapping[str, float]) -> tuple[str, Affine]:
    param = layer.power_param
    if param.power != 1:
        raise NotFoldableError(f'is a power of {param.power:g}')
    return layer.bottom[0], Affine(np.array([param.scale]), np.array([param.shift]))


def _eltwise(layer: caffe_pb2.LayerParameter, blobs: Blobs, constants: Mapping[str, float]) -> tuple[str, Affine]:
    """The sum or product of a blob and constants."""
    param = layer.eltwise_param
    varying = {bottom for bottom in layer.bottom if bottom not in constants}
    if len(varying) != 1 or param.operation == param.MAX:
        raise NotFoldableError('is not the sum or product of one blob and constants')
    (blob,) = varying
    times = [1.0 if bottom == blob else constants[bottom] for bottom in layer.bottom]
    if param.operation == param.PROD:
        if list(layer.bottom).count(blob) > 1:
            raise NotFoldableError('is the product of a blob with itself')
        return blob, Affine(np.array([np.prod(times)]), np.zeros(1))
    terms = np.array(times) * (list(param.coeff) or 1.0)
    is_blob = np.array([bottom == blob for bottom in layer.bottom])
    return blob, Affine(terms[is_blob].sum(keepdims=True), terms[~is_blob].sum(keepdims=True))


_TYPES: dict[str, Callable[[caffe_pb2.LayerParameter, Blobs, Mapping[str, float]], tuple[str, Affine]]] = {
    'BatchNorm': _batch_norm,
    'BN': _bn,
    'Scale': _scale,
    'Bias': _bias,
    'Power': _power,
    'Eltwise': _eltwise,
}


def _expect(blobs: Blobs, count: int) -> Blobs:
    if len(blobs) != count:
        raise NotFoldableError(f'the weights hold {len(blobs)} blobs of it, expected {count}')
    return blobs


def _check_channels(layer: caffe_pb2.LayerParameter, axis: int, blobs: Blobs) -> None:
    if len(layer.bottom) != 1:
        raise NotFoldableError(f'reads its values from blob {layer.bottom[1]!r}')
    if axis != 1 and any(blob.size > 1 for blob in blobs):
        raise NotFoldableError(f'works along axis {axis}, expected 1')
