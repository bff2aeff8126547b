"""Scale and Bias: factors and offsets that are constant over the axes before and behind their own."""

from math import prod

import torch

from caffe.blob import Blob
from caffe.fillers import fill
from caffe.layers.registry import Layer, register
from caffe.proto import caffe_pb2


class _Broadcast:
    """Where a smaller blob lies in a bottom: from `axis` on, over as many axes as it has."""

    def __init__(self, layer, param, bottom):
        self.layer = layer
        self.axis = layer.axis(param.axis, bottom[0]) if param.axis else 0
        self.given = len(bottom) > 1
        if not self.given:
            self.shape = self._learned_shape(param.num_axes, bottom[0].shape)

    def _learned_shape(self, axes, shape):
        if axes < -1 or (axes >= 0 and self.axis + axes > len(shape)):
            self.layer.error(f'num_axes {axes} from axis {self.axis} does not fit a bottom of shape {shape}')
        return shape[self.axis:] if axes == -1 else shape[self.axis:self.axis + axes]

    def check(self, bottom):
        """Take the shape of the second bottom, if any, and hold it against the first."""
        if self.given:
            self.shape = bottom[1].shape
        axis = self.axis if self.shape else 0
        whole = bottom[0].shape
        if whole[axis:axis + len(self.shape)] != self.shape:
            self.layer.error(f'values of shape {self.shape} do not fit a bottom of shape {whole} from axis {axis} on')
        self.count = prod(self.shape)
        self.view = (prod(whole[:axis]), self.count, prod(whole[axis + len(self.shape):]))

    def expand(self, values):
        """The values as (1, count, 1)."""
        return values.reshape(1, self.count, 1)

    def sum(self, tensor):
        """Sums of a tensor of shape `view` over what lies before and behind the values' axes."""
        return tensor.sum((0, 2)).reshape(self.shape)


@register('Scale')
class Scale(Layer):
    """y = x · s, plus a bias with `bias_term`; s is learned or the second bottom."""

    bottoms = (1, 2)
    tops = 1

    def setup(self, bottom, top):
        param = self.param.scale_param
        self.place = _Broadcast(self, param, bottom)
        self.place.check(bottom)
        if not self.place.given:
            self._add_blob(param.filler, param.HasField('filler'), 1.0)
        if param.bias_term:
            self._add_blob(param.bias_filler, param.HasField('bias_filler'), 0.0)

    def _add_blob(self, filler, given, default):
        self.blobs.append(Blob(*self.place.shape, name=self.name))
        fill(self.blobs[-1], filler if given else caffe_pb2.FillerParameter(value=default), f"layer '{self.name}'")

    def reshape(self, bottom, top):
        self.place.check(bottom)
        top[0].reshape(*bottom[0].shape)

    def _scale(self, bottom):
        return bottom[1] if self.place.given else self.blobs[0]

    def forward(self, bottom, top):
        place = self.place
        x = bottom[0].keep() if bottom[0] is top[0] else bottom[0].tensor
        self._x = x.reshape(place.view)
        scale = place.expand(self._scale(bottom).tensor)
        if self.param.scale_param.bias_term:
            y = torch.addcmul(place.expand(self.blobs[-1].tensor), self._x, scale)
        else:
            y = self._x * scale
        top[0].tensor = y.reshape(top[0].shape)

    def backward(self, top, propagate_down, bottom):
        place, dy = self.place, top[0].grad.reshape(self.place.view)
        needs = propagate_down[1:] if place.given else self.param_propagate_down[:1]
        bias = self.param.scale_param.bias_term and self.param_propagate_down[-1]
        dscale, dbias = self._sums(dy, needs[0], bias)
        if propagate_down[0]:
            bottom[0].grad = (dy * place.expand(self._scale(bottom).tensor)).reshape(bottom[0].shape)
        if bias:
            self.blobs[-1].add_grad(dbias)
        if needs[0] and place.given:
            bottom[1].grad = dscale
        elif needs[0]:
            self.blobs[0].add_grad(dscale)

    def _sums(self, dy, scale, bias):
        """Diffs of scale and bias: Σ dy·x and Σ dy."""
        return self.place.sum(dy * self._x) if scale else None, self.place.sum(dy) if bias else None


@register('Bias')
class Bias(Layer):
    """y = x + b; b is learned or the second bottom."""

    bottoms = (1, 2)
    tops = 1

    def setup(self, bottom, top):
        param = self.param.bias_param
        self.place = _Broadcast(self, param, bottom)
        self.place.check(bottom)
        if not self.place.given:
            self.blobs.append(Blob(*self.place.shape, name=self.name))
            fill(self.blobs[0], param.filler, f"layer '{self.name}'")

    def reshape(self, bottom, top):
        self.place.check(bottom)
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        bias = (bottom[1] if self.place.given else self.blobs[0]).tensor
        y = bottom[0].tensor.reshape(self.place.view) + self.place.expand(bias)
        top[0].tensor = y.reshape(top[0].shape)

    def backward(self, top, propagate_down, bottom):
        dy = top[0].grad
        if self.place.given and propagate_down[1]:
            bottom[1].grad = self.place.sum(dy.reshape(self.place.view))
        elif not self.place.given and self.param_propagate_down[0]:
            self.blobs[0].add_grad(self.place.sum(dy.reshape(self.place.view)))
        if propagate_down[0] and bottom[0] is not top[0]:
            bottom[0].grad = dy
