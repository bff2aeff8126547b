"""Inference in fewer passes: a Convolution with the BatchNorm, Scale and activation behind it as one.

What this changes nobody can see. A group runs folded only where no layer of it has a backward, nothing hooks into the
net, and Python holds no view of its parameters or of the blobs between its layers. Folded weights count for as long as
the parameters are untouched. The blobs between the layers are computed when somebody reads them, from the group's
input, and before any parameter changes.
"""

import torch
import torch.nn.functional as F

from caffe import mode, precision
from caffe.blob import Blob
from caffe.layers.layout import channels_inside

_ACTIVATIONS = ('ReLU', 'PReLU')


def find_groups(layers, bottoms, tops, loss_terms):
    """{index of the first layer: Group} of a net whose lists run in parallel, as Wiring has them."""
    groups, i = {}, 0
    while i < len(layers):
        end = i
        if _starts(layers[i], bottoms[i]):
            while end + 1 < len(layers) and not loss_terms[end] and layers[end].type not in _ACTIVATIONS and \
                    _continues(layers[end + 1], bottoms[end + 1], tops[end]):
                end += 1
            if not loss_terms[end] and tops[i][0] is not bottoms[i][0]:
                chain = slice(i, end + 1)
                groups[i] = Group(layers[chain], bottoms[i][0], [top[0] for top in tops[chain]], end)
        i = end + 1
    return groups


def _starts(layer, bottom):
    return layer.type == 'Convolution' and not layer.needs_backward and len(bottom) == 1 and \
        layer.window.axis == 1 and layer.window.axes == 2


def _continues(layer, bottom, top):
    if layer.needs_backward or len(bottom) != 1 or bottom[0] is not top[0]:
        return False
    if layer.type == 'Scale':
        return layer.blobs[0].shape == top[0].shape[1:2] and layer.place.axis == 1
    return layer.type in _ACTIVATIONS or (layer.type == 'BatchNorm' and layer.running)


class Group:
    """Layers from a Convolution to layer `last` of the net that can run as one."""

    def __init__(self, layers, bottom, tops, last):
        self.layers, self.bottom, self.tops, self.last = layers, bottom, tops, last
        self.top = tops[-1]
        self.hidden = [blob for blob in dict.fromkeys(tops) if blob is not self.top]
        self.parameters = [blob for layer in layers for blob in layer.blobs]
        self._seen = self._packed_for = self._shapes = self._pending = None

    def run(self):
        """Compute the top from the bottom; False, and nothing done, where the layers have to run one by one."""
        if mode.device().type != 'cpu' or any(blob.viewed() for blob in self.hidden):
            return False
        stamps = [blob.stamp() for blob in self.parameters]
        if None in stamps:
            return False
        shapes = [precision.precision(), self.bottom.shape, *(blob.shape for blob in self.tops)]
        state = (shapes, stamps)
        if not _same(state, self._packed_for) and not self._pack(state):
            return False
        x = channels_inside(self.bottom.tensor)
        y = self._activate(self._convolve(x))
        if self.hidden:
            self._defer(x)
        self.top.tensor = y
        return True

    def _pack(self, state):
        """Fold the parameters anew; False where they or the shapes are others than the last time.

        What changes with every forward, like the sizes of an image pyramid, is not worth packing weights for.
        """
        known, self._seen = _same(state, self._seen), state
        if not known or self.bottom.count == 0:
            return False
        self._weight, self._bias = precision.rounded(*_folded(self.layers))
        convolution = self.layers[0]
        stride, pad, dilation, *_, group = convolution._geometry
        try:
            self._weight = torch.ops.mkldnn._reorder_convolution_weight(
                self._weight, pad, stride, dilation, group, list(self.bottom.shape))
            self._arguments = (pad, stride, dilation, group, 'none', [], '')
        except (AttributeError, NotImplementedError, RuntimeError):  # a PyTorch without these kernels
            self._arguments = None
        for blob in self.parameters:
            blob.watch(self)
        self._packed_for = state
        return True

    def _convolve(self, x):
        x, = precision.rounded(x)
        if self._arguments:
            return torch.ops.mkldnn._convolution_pointwise(x, self._weight, self._bias, *self._arguments).float()
        return torch.convolution(x, self._weight, self._bias, *self.layers[0]._geometry).float()

    def _activate(self, y):
        last = self.layers[-1]
        if last.type == 'PReLU':
            return torch.prelu(y, last.blobs[0].tensor.reshape(-1))
        if last.type == 'ReLU':
            slope = last.param.relu_param.negative_slope
            return F.leaky_relu_(y, slope) if slope else torch.relu_(y)
        return y

    def _defer(self, x):
        """Leave the hidden blobs to be computed from `x` on demand."""
        if x.data_ptr() == self.bottom.tensor.data_ptr():
            if self.bottom.viewed():
                x = x.clone()
            else:
                self.bottom.lend_data(x)
        self._pending = x
        for blob in self.hidden:
            blob.defer(self)

    def settle(self):
        """Compute the hidden blobs of the last run, if that was not done yet."""
        x, self._pending = self._pending, None
        if x is None:
            return
        values = {self.bottom: Blob(*x.shape)}
        values[self.bottom].tensor = x
        source = self.bottom
        for layer, top in zip(self.layers, self.tops):
            if top is self.top:
                break
            target = values.setdefault(top, Blob(*top.shape))
            layer.reshape([values[source]], [target])
            layer.forward([values[source]], [target])
            source = top
        for blob in self.hidden:
            if blob.is_deferred_to(self):
                blob.tensor = values[blob].tensor


def _same(state, other):
    """Whether shapes and precision are equal and all parameters untouched between two states."""
    if other is None or state[0] != other[0]:
        return False
    return all(a[0] is b[0] and a[1:] == b[1:] for a, b in zip(state[1], other[1]))


def _folded(layers):
    """(weight, bias) of one convolution that does what a Convolution and the BatchNorms and Scales behind it do."""
    weight = layers[0].blobs[0].tensor.double()
    bias = layers[0].blobs[1].tensor.double() if len(layers[0].blobs) > 1 else weight.new_zeros(len(weight))
    for layer in layers[1:]:
        if layer.type == 'BatchNorm':
            mean, variance = layer._running_statistics()
            factor = (variance.double() + layer.eps).rsqrt()
            shift = -mean.double() * factor
        elif layer.type == 'Scale':
            factor = layer.blobs[0].tensor.double()
            shift = layer.blobs[1].tensor.double() if len(layer.blobs) > 1 else torch.zeros_like(factor)
        else:
            break
        weight, bias = weight * factor.reshape(-1, 1, 1, 1), bias * factor + shift
    return weight.float(), bias.float()
