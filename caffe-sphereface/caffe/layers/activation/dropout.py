"""Dropout (Srivastava et al. 2014), inverted: TRAIN scales what it keeps, TEST passes everything on."""

import torch

from caffe import random
from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Dropout')
class Dropout(Layer):
    """Each value is zero with probability `dropout_ratio` and divided by 1 − dropout_ratio otherwise."""

    bottoms = 1
    tops = 1
    in_place = True
    kept = ('_mask',)
    per_channel = True
    reads_back = ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.ratio = self.param.dropout_param.dropout_ratio
        if not 0 <= self.ratio < 1:
            self.error(f'dropout_ratio is {self.ratio:g}, expected at least 0 and less than 1')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor
        if self.phase:
            if bottom[0] is not top[0]:
                top[0].lend_data(x)
            return
        keep = 1 - self.ratio
        self._mask = torch.empty_like(x).bernoulli_(keep, generator=random.generator(self.device)).div_(keep)
        top[0].tensor = x * self._mask

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        if not self.phase:
            bottom[0].grad = top[0].grad * self._mask
        elif bottom[0] is not top[0]:
            bottom[0].lend_grad(top[0].grad)
