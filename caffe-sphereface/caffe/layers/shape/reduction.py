"""Reduction and ArgMax: few values from many."""

from math import prod

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Reduction')
class Reduction(Layer):
    """coeff · SUM, ASUM (of absolute values), SUMSQ (of squares) or MEAN over all axes from `axis` on."""

    bottoms = 1
    tops = 1
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, shape = self.param.reduction_param, bottom[0].shape
        along = self.axis(param.axis, bottom[0])
        self._view = (-1, prod(shape[along:]))
        self._factor = param.coeff / max(1, self._view[1]) if param.operation == param.MEAN else param.coeff
        top[0].reshape(*shape[:along])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, x = self.param.reduction_param, bottom[0].tensor.reshape(self._view)
        if param.operation == param.ASUM:
            x = x.abs()
        elif param.operation == param.SUMSQ:
            x = x.square()
        top[0].tensor = (x.sum(1) * self._factor).reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        param, x = self.param.reduction_param, bottom[0].tensor.reshape(self._view)
        dy = (top[0].grad * self._factor).reshape(-1, 1)
        if param.operation == param.ASUM:
            dx = x.sign() * dy
        elif param.operation == param.SUMSQ:
            dx = x * (2 * dy)
        else:
            dx = dy.expand_as(x)
        bottom[0].grad = dx.reshape(bottom[0].shape)


@register('ArgMax')
class ArgMax(Layer):
    """The indices of the top_k largest values, in descending order; of equal values the last one wins.

    With `axis`: the top has top_k in that axis and holds the values themselves with out_max_val, else the indices.
    Without: over all but the first axis; (N, 1, top_k) indices, or (N, 2, top_k) with the values behind them.
    """

    bottoms = 1
    tops = 1
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, shape = self.param.argmax_param, bottom[0].shape
        self.along = self.axis(param.axis, bottom[0]) if param.HasField('axis') else None
        choices = prod(shape[1:]) if self.along is None else shape[self.along]
        if not 1 <= param.top_k <= choices:
            self.error(f'top_k is {param.top_k}, expected 1 to {choices} for a bottom of shape {shape}')
        if self.along is None:
            top[0].reshape(shape[0], 1 + param.out_max_val, param.top_k, *[1] * (len(shape) - 3))
        else:
            top[0].reshape(*shape[: self.along], param.top_k, *shape[self.along + 1 :])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, x = self.param.argmax_param, bottom[0].tensor
        if self.along is None:
            values, index = self._largest(x.reshape(len(x), -1), 1)
            parts = [index.to(x.dtype), values] if param.out_max_val else [index.to(x.dtype)]
            top[0].tensor = torch.stack(parts, 1).reshape(top[0].shape)
        else:
            values, index = self._largest(x, self.along)
            top[0].tensor = values if param.out_max_val else index.to(x.dtype)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.error('has no gradient, expected it where nothing is learned before it, and no force_backward')

    def _largest(self, x: torch.Tensor, along: int) -> tuple[torch.Tensor, torch.Tensor]:
        # a stable sort of the reversed axis puts the last of equal values first
        values, index = x.flip(along).sort(dim=along, descending=True, stable=True)
        top_k = self.param.argmax_param.top_k
        return values.narrow(along, 0, top_k), x.shape[along] - 1 - index.narrow(along, 0, top_k)
