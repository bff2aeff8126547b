"""Axpy: a · x + y with one factor for each channel, the end of a squeeze-and-excitation block."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Axpy')
class Axpy(Layer):
    """z = a · x + y of bottoms a (N, C) or (N, C, 1, 1), x (N, C, …) and y like x (SENet's fork, Hu et al. 2018).

    da = Σ dz · x over space, dx = a · dz, dy = dz.
    """

    bottoms = 3
    tops = 1
    kept = ()
    reads_back = ('bottom',)
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        factors, x, y = (blob.shape for blob in bottom)
        if len(x) < 2 or factors[:2] != x[:2] or any(size != 1 for size in factors[2:]):
            self.error(f'bottom 0 has shape {factors}, expected one factor for each channel of bottom 1, {x}')
        if y != x:
            self.error(f'bottom 2 has shape {y}, expected that of bottom 1, {x}')
        top[0].reshape(*x)

    def infer(self, factors: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottoms'."""
        return torch.addcmul(y, _spread(factors, x), x)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].tensor = self.infer(*[blob.tensor for blob in bottom])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        dz, (factors, x, y) = top[0].grad, bottom
        if propagate_down[0]:
            factors.grad = (dz * x.tensor).reshape(*dz.shape[:2], -1).sum(2).reshape(factors.shape)
        if propagate_down[1]:
            x.grad = dz * _spread(factors.tensor, dz)
        if propagate_down[2]:
            y.lend_grad(dz)


def _spread(factors: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`factors` with an axis of size 1 for each spatial axis of `x`."""
    return factors.reshape(*x.shape[:2], *[1] * (x.dim() - 2))
