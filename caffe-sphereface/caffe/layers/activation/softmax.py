"""Softmax along one axis."""

import torch

from caffe.layers.support.registry import Layer, register


@register('Softmax')
class Softmax(Layer):
    """y = exp(x) / Σ exp(x) along `axis`."""

    bottoms = 1
    tops = 1

    def setup(self, bottom, top):
        self.along = self.axis(self.param.softmax_param.axis, bottom[0])

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].tensor = torch.softmax(bottom[0].tensor, self.along)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            y = top[0].tensor
            bottom[0].grad = torch._softmax_backward_data(top[0].grad, y, self.along, y.dtype)
