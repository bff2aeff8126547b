"""Softmax along one axis."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Softmax')
class Softmax(Layer):
    """y = exp(x) / Σ exp(x) along `axis`."""

    bottoms = 1
    tops = 1
    in_place = True
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.along = self.axis(self.param.softmax_param.axis, bottom[0])

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].tensor = torch.softmax(bottom[0].tensor, self.along)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            y = top[0].tensor
            bottom[0].grad = torch._softmax_backward_data(top[0].grad, y, self.along, y.dtype)
