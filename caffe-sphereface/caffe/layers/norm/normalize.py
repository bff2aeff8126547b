"""Normalize: each position's channels divided by their norm."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Normalize')
class Normalize(Layer):
    """y = x / ‖x‖ over the channels; L2 has 1e-6 under the root, L1 has 1e-6 added.

    A second top receives the norms as (num, 1, height, width). `bp_norm` lets its diff flow back; `fix_gradient`
    leaves the norm out of the gradient, dx = dy / ‖x‖.
    """

    bottoms = 1
    tops = (1, 2)
    in_place = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.kind = self.param.normalize_param.normalize_type
        if self.kind not in ('L1', 'L2'):
            self.error(f"normalize_type is '{self.kind}', expected L1 or L2")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        if len(shape) < 2:
            self.error(f'bottom of shape {shape}, expected at least 2 axes (num, channels)')
        top[0].reshape(*shape)
        if len(top) > 1:
            top[1].reshape(shape[0], 1, *(shape[2:] + (1, 1))[: max(2, len(shape) - 2)])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor
        if self.kind == 'L2':
            self._norm = x.square().sum(1, keepdim=True).add_(1e-6).sqrt_()
        else:
            self._norm = x.abs().sum(1, keepdim=True).add_(1e-6)
        self._y = top[0].tensor = x / self._norm
        if len(top) > 1:
            top[1].tensor = self._norm.reshape(top[1].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        param, dy, y = self.param.normalize_param, top[0].grad, self._y
        direction = y if self.kind == 'L2' else y.sign()
        dx = dy
        if not param.fix_gradient:
            dx = torch.addcmul(dy, direction, (dy * y).sum(1, keepdim=True), value=-1)
        dx = dx / self._norm
        if param.bp_norm and len(top) > 1:
            dx = torch.addcmul(dx, direction, top[1].grad.reshape(self._norm.shape))
        bottom[0].grad = dx
