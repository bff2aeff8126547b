"""MVN: zero mean and unit variance of each picture's channels."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('MVN')
class MVN(Layer):
    """y = (x − mean) / (deviation + eps), or x − mean, over each channel of each picture or over whole pictures.

    The top always has 4 axes, those that the bottom lacks being 1. The first `row_axes` axes tell apart what has a
    mean of its own.
    """

    bottoms = 1
    tops = 1
    in_place = True
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        if len(shape) > 4:
            self.error(f'bottom of shape {shape}, expected at most 4 axes')
        top[0].reshape(*shape, *[1] * (4 - len(shape)))
        self.row_axes = 1 if self.param.mvn_param.across_channels else 2

    def _as_rows(self, values: torch.Tensor, top: Blob) -> torch.Tensor:
        return values.reshape(*top.shape[: self.row_axes], -1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = self._as_rows(bottom[0].tensor, top[0])
        y = x - x.mean(-1, keepdim=True)
        if self.param.mvn_param.normalize_variance:
            self._divisor = y.square().mean(-1, keepdim=True).sqrt_().add_(self.param.mvn_param.eps)
            self._y = y = y.div_(self._divisor)
        top[0].tensor = y.reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        dy = self._as_rows(top[0].grad, top[0])
        dx = dy - dy.mean(-1, keepdim=True)
        if self.param.mvn_param.normalize_variance:
            dx = torch.addcmul(dx, self._y, (dy * self._y).mean(-1, keepdim=True), value=-1).div_(self._divisor)
        bottom[0].grad = dx.reshape(bottom[0].shape)
