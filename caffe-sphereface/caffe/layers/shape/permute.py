"""Permute: axes in another order."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Permute')
class Permute(Layer):
    """y = x with axis `order[i]` as axis i; axes that `order` leaves out follow in their own order (SSD's fork).

    `order` is the complete order. One that changes nothing shares data and diff with the bottom.
    """

    bottoms = 1
    tops = 1
    kept = ()
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        given, axes = list(self.param.permute_param.order), len(bottom[0].shape)
        if len({*given}) < len(given):
            self.error(f'order {given} names an axis twice, expected each at most once')
        if any(axis >= axes for axis in given):
            self.error(f'order {given}, expected axes below {axes} for a bottom of shape {bottom[0].shape}')
        self.order = given + [axis for axis in range(axes) if axis not in given]
        self.moves = self.order != sorted(self.order)
        # where nothing moves the top shares the bottom's memory
        self.infer = self._infer if self.moves else None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        if len(shape) != len(self.order):
            self.error(f'bottom of shape {shape}, expected {len(self.order)} axes as at set-up')
        top[0].reshape(*[shape[axis] for axis in self.order])
        if not self.moves:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def _infer(self, x: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottom's, in memory of their own."""
        return x.permute(self.order).clone(memory_format=torch.contiguous_format)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self.moves:
            top[0].tensor = self._infer(bottom[0].tensor)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if self.moves and propagate_down[0]:
            back = sorted(range(len(self.order)), key=self.order.__getitem__)
            bottom[0].grad = top[0].grad.permute(back).contiguous()
