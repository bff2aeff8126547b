"""Flip: pictures mirrored."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Flip')
class Flip(Layer):
    """Columns in reverse with `flip_width`, rows with `flip_height`, of pictures (N, C, H, W) (caffe-windows)."""

    bottoms = 1
    tops = 1
    per_channel = True
    kept = ()
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.flip_param
        self.mirrored = [axis for axis, is_flipped in ((2, param.flip_height), (3, param.flip_width)) if is_flipped]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_picture(bottom[0].shape)
        top[0].reshape(*bottom[0].shape)

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottom's."""
        return x.flip(self.mirrored)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].tensor = self.infer(bottom[0].tensor)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = top[0].grad.flip(self.mirrored)
