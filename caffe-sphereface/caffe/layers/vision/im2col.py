"""Im2col: the window around each position as channels."""

from collections.abc import Iterator
from itertools import product
from math import prod

import torch
import torch.nn.functional as F

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register
from caffe.layers.support.window import Window


@register('Im2col')
class Im2col(Layer):
    """(N, C, space…) to (N, C · kernel area, output space…), with the windows of a convolution."""

    bottoms = 1
    tops = 1
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.window = Window(self, bottom[0])
        if not self.window.axes:
            self.error(f'bottom of shape {bottom[0].shape} has no spatial axes behind axis {self.window.axis}')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        window, shape = self.window, bottom[0].shape
        if len(shape) != window.axis + 1 + window.axes:
            self.error(f'bottom of shape {shape}, expected {window.axis + 1 + window.axes} axes as at first')
        self._out = window.output(shape[window.axis + 1 :])
        top[0].reshape(*shape[: window.axis], shape[window.axis] * prod(window.kernel), *self._out)

    def _pads(self, sign: int) -> list[int]:
        return [sign * p for pad in reversed(self.window.pad) for p in (pad, pad)]

    def _views(self, padded: torch.Tensor) -> Iterator[torch.Tensor]:
        """One strided view (N, C, output space…) for each place in the kernel."""
        window = self.window
        for place in product(*map(range, window.kernel)):
            at = (
                slice(p * d, p * d + (n - 1) * s + 1, s)
                for p, d, n, s in zip(place, window.dilation, self._out, window.stride)
            )
            index = (Ellipsis, *at)
            yield padded[index]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        padded = F.pad(bottom[0].tensor, self._pads(1))
        top[0].tensor = torch.stack(list(self._views(padded)), self.window.axis + 1).reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        window, shape = self.window, bottom[0].shape
        dy = top[0].grad.reshape(*shape[: window.axis + 1], prod(window.kernel), *self._out)
        padded = dy.new_zeros(
            [*shape[: window.axis + 1], *(n + 2 * p for n, p in zip(shape[window.axis + 1 :], window.pad))]
        )
        for view, part in zip(self._views(padded), dy.unbind(window.axis + 1)):
            view.add_(part)
        bottom[0].grad = F.pad(padded, self._pads(-1))
