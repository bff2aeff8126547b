"""Pieces of pictures that a layer reads at sampled places, as numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import pads_sides


@dataclass(frozen=True)
class Window:
    """Kernel, stride, padding and dilation of a 2-D convolution, each (rows, columns)."""

    kernel: tuple
    stride: tuple
    pad: tuple
    dilation: tuple

    def outputs(self, height: int, width: int) -> tuple[int, int]:
        """(rows, columns) of the output for an input of this height and width; Caffe rounds down."""
        return tuple(
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, k, s, p, d in zip((height, width), self.kernel, self.stride, self.pad, self.dilation)
        )


def window_of(layer: caffe_pb2.LayerParameter) -> Window:
    """The Window of a Convolution's LayerParameter; SlimError for other than two dimensions."""
    param = layer.convolution_param
    if any(len(getattr(param, name)) > 2 for name in ('kernel_size', 'stride', 'pad', 'dilation')):
        raise SlimError(f"layer '{layer.name}' ({layer.type}): expected two spatial dimensions")
    if pads_sides(param):
        raise SlimError(f"layer '{layer.name}' ({layer.type}): pads each side in its own way, expected pad")
    return Window(
        _pair(param, 'kernel_size', 'kernel', 1),
        _pair(param, 'stride', 'stride', 1),
        _pair(param, 'pad', 'pad', 0),
        _pair(param, 'dilation', None, 1),
    )


def _pair(param: caffe_pb2.ConvolutionParameter, repeated: str, single: str | None, default: int) -> tuple[int, int]:
    if single and (param.HasField(f'{single}_h') or param.HasField(f'{single}_w')):
        return getattr(param, f'{single}_h'), getattr(param, f'{single}_w')
    values = list(getattr(param, repeated)) or [default]
    return values[0], values[-1]


def sample_places(
    shape: tuple[int, ...], window: Window, number: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`number` random output places (picture, row, column) of every picture of an input of this shape, three arrays."""
    rows, columns = window.outputs(*shape[2:])
    count = shape[0] * number
    return np.repeat(np.arange(shape[0]), number), rng.integers(0, rows, count), rng.integers(0, columns, count)


def patches_at(blob: np.ndarray, window: Window, places: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """What the window sees of a blob (N, C, H, W) at output places: an array (places, C, kernel rows, columns)."""
    padded = np.pad(blob, ((0, 0), (0, 0), (window.pad[0],) * 2, (window.pad[1],) * 2))
    pictures, rows, columns = places
    rows = rows[:, None] * window.stride[0] + np.arange(window.kernel[0]) * window.dilation[0]
    columns = columns[:, None] * window.stride[1] + np.arange(window.kernel[1]) * window.dilation[1]
    return padded[
        pictures[:, None, None, None],
        np.arange(blob.shape[1])[:, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]
