"""Insanity: leaky units with random slopes (caffe-windows; RReLU of Xu et al. 2015)."""

from math import log

import torch

from caffe import random
from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Insanity')
class Insanity(Layer):
    """y = max(x, 0) + min(x, 0) / s with s uniform between `lb` and `ub` for each value in TRAIN.

    TEST has `slope`, 1 / s for s = (ub − lb) / log(ub / lb), in both directions; the fork's backward divides by what
    TRAIN has left.
    """

    bottoms = 1
    tops = 1
    in_place = True
    kept = ('_slopes',)
    per_channel = True
    reads_back = ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.insanity_param
        if not 0 < param.lb < param.ub:
            self.error(f'lb is {param.lb:g}, ub {param.ub:g}, expected 0 < lb < ub')
        self.slope = log(param.ub / param.lb) / (param.ub - param.lb)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_channels(bottom[0].shape)
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, param = bottom[0].tensor, self.param.insanity_param
        if self.phase:
            slopes = torch.full((), self.slope, dtype=x.dtype, device=x.device)
        else:
            draws = torch.empty_like(x).uniform_(param.lb, param.ub, generator=random.generator(self.device))
            slopes = draws.reciprocal_()
        self._slopes = torch.where(x > 0, 1, slopes)
        top[0].tensor = x * self._slopes

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = top[0].grad * self._slopes
