"""Crop: a part of one blob, of the size of another."""

import torch.nn.functional as F

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Crop')
class Crop(Layer):
    """The first bottom, cut from `axis` on to the second bottom's dimensions.

    It is cut at `offset`, one for all axes or one each.
    """

    bottoms = 2
    tops = 1
    no_diff_bottoms = (1,)
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.from_axis = self.axis(self.param.crop_param.axis, bottom[0])
        axes = len(bottom[0].shape) - self.from_axis
        offset = list(self.param.crop_param.offset) or [0]
        if len(offset) not in (1, axes):
            self.error(f'offset is given {len(offset)} times, expected once or once an axis ({axes})')
        self.offset = [0] * self.from_axis + (offset * axes if len(offset) == 1 else offset)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        whole, wanted = bottom[0].shape, bottom[1].shape
        if len(whole) != len(wanted):
            self.error(f'bottoms have shapes {whole} and {wanted}, expected as many axes')
        self.sizes = [*whole[: self.from_axis], *wanted[self.from_axis :]]
        if any(o + n > w for o, n, w in zip(self.offset, self.sizes, whole)):
            self.error(f'crop of {tuple(self.sizes)} at offset {tuple(self.offset)} leaves the bottom of shape {whole}')
        top[0].reshape(*self.sizes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].lend_data(bottom[0].tensor[tuple(slice(o, o + n) for o, n in zip(self.offset, self.sizes))])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            margins = [(o, w - o - n) for o, n, w in zip(self.offset, self.sizes, bottom[0].shape)]
            bottom[0].grad = F.pad(top[0].grad, [m for pair in reversed(margins) for m in pair])
