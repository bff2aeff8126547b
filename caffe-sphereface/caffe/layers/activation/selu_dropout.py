"""SeLuDropout: dropout that keeps mean and variance of self-normalizing nets (Klambauer et al. 2017)."""

from math import sqrt

import torch

from caffe import random
from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('SeLuDropout')
class SeLuDropout(Layer):
    """In TRAIN y = a · x with probability q = 1 − dropout_ratio and a · alpha otherwise, plus b; TEST passes x on.

    a = 1 / √(q · (1 + alpha² · (1 − q))) and b = −a · (1 − q) · alpha give values of mean 0 and variance 1 the same
    mean and variance again. dx = a · dy where x was kept, else 0.
    """

    bottoms = 1
    tops = 1
    in_place = True
    kept = ('_factors',)
    per_channel = True
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.selu_dropout_param
        if not 0 <= param.dropout_ratio < 1:
            self.error(f'dropout_ratio is {param.dropout_ratio:g}, expected at least 0 and less than 1')
        self.keep = 1 - param.dropout_ratio
        self.scale = 1 / sqrt(self.keep * (1 + param.alpha**2 * param.dropout_ratio))
        self.shift = -self.scale * param.dropout_ratio * param.alpha

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor
        if self.phase:
            if bottom[0] is not top[0]:
                top[0].lend_data(x)
            return
        keeps = torch.empty_like(x).bernoulli_(self.keep, generator=random.generator(self.device))
        dropped = self.scale * self.param.selu_dropout_param.alpha
        self._factors = keeps * self.scale
        top[0].tensor = torch.addcmul(dropped * (1 - keeps) + self.shift, x, self._factors)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        if not self.phase:
            bottom[0].grad = top[0].grad * self._factors
        elif bottom[0] is not top[0]:
            bottom[0].lend_grad(top[0].grad)
