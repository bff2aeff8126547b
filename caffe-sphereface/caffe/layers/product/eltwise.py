"""Eltwise: product, weighted sum or maximum of blobs of one shape."""

from functools import reduce

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Eltwise')
class Eltwise(Layer):
    """Element by element over two or more bottoms of the same shape; SUM takes one coefficient per bottom."""

    bottoms = (2, None)
    tops = 1
    kept = ('_x', '_y', '_winner')
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.eltwise_param
        self.coefficients = list(param.coeff) or [1.0] * len(bottom)
        if len(self.coefficients) != len(bottom):
            self.error(f'has {len(param.coeff)} coeff for {len(bottom)} bottoms, expected one each or none')
        if param.coeff and param.operation == param.PROD:
            self.error('coeff goes with operation: SUM only')
        self._forward, self._backward = {
            param.PROD: (self._multiply, self._multiply_back),
            param.SUM: (self._add, self._add_back),
            param.MAX: (self._maximum, self._maximum_back),
        }[param.operation]
        self.infer = self._forward

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for i, blob in enumerate(bottom):
            if blob.shape != bottom[0].shape:
                self.error(f'bottom {i} has shape {blob.shape}, expected that of bottom 0, {bottom[0].shape}')
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].tensor = self._forward(*[blob.tensor for blob in bottom])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        dy = top[0].grad
        grads = [self._backward(dy, i) if needed else None for i, needed in enumerate(propagate_down)]
        for blob, grad in zip(bottom, grads):
            if grad is dy:
                blob.lend_grad(grad)
            elif grad is not None:
                blob.grad = grad

    def _multiply(self, *x: torch.Tensor) -> torch.Tensor:
        self._x, self._y = x, reduce(torch.mul, x)
        return self._y

    def _multiply_back(self, dy: torch.Tensor, i: int) -> torch.Tensor:
        if self.param.eltwise_param.stable_prod_grad:
            return reduce(torch.mul, self._x[:i] + self._x[i + 1 :], dy)
        return dy * self._y / self._x[i]

    def _add(self, *x: torch.Tensor) -> torch.Tensor:
        first, second, *rest = self.coefficients
        y = torch.add(x[0] if first == 1 else x[0] * first, x[1], alpha=second)
        for tensor, coefficient in zip(x[2:], rest):
            y.add_(tensor, alpha=coefficient)
        return y

    def _add_back(self, dy: torch.Tensor, i: int) -> torch.Tensor:
        return dy if self.coefficients[i] == 1 else dy * self.coefficients[i]

    def _maximum(self, *x: torch.Tensor) -> torch.Tensor:
        y = torch.maximum(x[0], x[1])
        # equal values count as the second's between the first two, as the earlier's from then on
        self._winner = (x[0] <= x[1]).to(torch.uint8)
        for i, tensor in enumerate(x[2:], 2):
            self._winner.masked_fill_(tensor > y, i)
            y = torch.maximum(y, tensor)
        return y

    def _maximum_back(self, dy: torch.Tensor, i: int) -> torch.Tensor:
        return dy * (self._winner == i)
