"""InnerProduct: y = x·Wᵀ + b over all axes from `axis` on."""

from collections.abc import Callable
from math import prod

import numpy as np
import torch

from caffe import precision
from caffe.blobs.blob import Blob
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import BlobCount, Layer, register


@register('InnerProduct')
class InnerProduct(Layer):
    """Fully connected layer.

    Weights have shape (outputs, inputs), or (inputs, outputs) with `transpose`. With `normalize` of the forks
    (SphereFace+, caffe-windows and others) every row of the learned weights is divided in place by its L2 norm (1e-6
    under the root) before use. A second and third bottom supply weights and bias in place of learned ones, as they are.
    """

    bottoms: BlobCount = (1, 3)
    tops = 1
    kept = ()
    folds_as = 'product'
    reads_back = ('bottom',)
    no_capture: str | None = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.inner_product_param
        self.outputs, self.bias, self.transpose = param.num_output, param.bias_term, param.transpose
        self.from_axis = self.axis(param.axis, bottom[0])
        self.inputs = prod(bottom[0].shape[self.from_axis :])
        if not self.outputs:
            self.error('num_output is 0, expected at least 1')
        if len(bottom) > 1:
            return
        shape = (self.inputs, self.outputs) if self.transpose else (self.outputs, self.inputs)
        add_parameter(self, shape, param.weight_filler)
        if self.bias:
            add_parameter(self, (self.outputs,), param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        inputs = prod(shape[self.from_axis :])
        if inputs != self.inputs:
            self.error(f'bottom of shape {shape} has {inputs} inputs, the weights have {self.inputs}')
        for blob, count in zip(bottom[1:], (self.inputs * self.outputs, self.outputs)):
            if blob.count != count:
                self.error(
                    f'has weights or a bias of shape {blob.shape} as a bottom, expected {count} values '
                    f'for {self.inputs} inputs and {self.outputs} outputs'
                )
        top[0].reshape(*shape[: self.from_axis], self.outputs)

    def can_fold(self, shape: tuple[int, ...]) -> bool:
        """Whether the layer multiplies all axes behind the first by weights that a forward does not change."""
        return self.from_axis == 1 and not self.param.inner_product_param.normalize

    def linear(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(weight, bias) with a row for each output, in double precision."""
        weight, *bias = [blob.tensor.double() for blob in self.blobs]
        return weight.t() if self.transpose else weight, bias[0] if bias else weight.new_zeros(self.outputs)

    def blobs_of_module(self, tensor: Callable[[str], np.ndarray]) -> list[np.ndarray]:
        """Values for `blobs` from those of a torch.nn.Linear."""
        weight, *bias = super().blobs_of_module(tensor)
        return [weight.T if self.transpose else weight, *bias]

    def _sources(self, bottom: list[Blob]) -> tuple[Blob, Blob | None]:
        """The blobs of weights and bias: bottoms where given, else learned ones."""
        blobs = bottom[1:] if len(bottom) > 1 else self.blobs
        return blobs[0], blobs[1] if self.bias and len(blobs) > 1 else None

    def used(self, blob: Blob) -> torch.Tensor:
        """What forward takes of weights or a bias."""
        return blob.tensor

    def used_backward(self, blob: Blob) -> torch.Tensor:
        """What the gradient of the bottom takes of weights."""
        return blob.tensor

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        weight, bias = self._sources(bottom)
        if self.param.inner_product_param.normalize and not self.transpose and len(bottom) == 1:
            with weight.changing() as rows:
                rows.div_((rows.square().sum(1, keepdim=True) + 1e-6).sqrt_())
        values = self.used(weight)
        matrix = values.reshape(self.inputs, -1) if self.transpose else values.reshape(self.outputs, -1).t()
        x = bottom[0].tensor.reshape(-1, self.inputs)
        y = precision.product(x, matrix, self.used(bias).reshape(-1) if bias else None)
        top[0].tensor = y.reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        weight, bias = self._sources(bottom)
        dy = top[0].grad.reshape(-1, self.outputs)
        learned = len(bottom) == 1
        needs = self.param_propagate_down if learned else propagate_down[1:]
        if needs[0]:
            x = bottom[0].tensor.reshape(-1, self.inputs)
            a, b = (x.t(), dy) if self.transpose else (dy.t(), x)
            if not learned:
                weight.grad = precision.product(a, b).reshape(weight.shape)
            elif precision.is_bf16():
                weight.add_grad(precision.product(a, b))
            else:
                weight.add_product(a, b)
        if bias and needs[1]:
            if learned:
                bias.add_grad(dy.sum(0))
            else:
                bias.grad = dy.sum(0).reshape(bias.shape)
        if propagate_down[0]:
            w = self.used_backward(weight)
            rows = w.reshape(self.inputs, -1).t() if self.transpose else w.reshape(self.outputs, -1)
            bottom[0].grad = precision.product(dy, rows).reshape(bottom[0].shape)
