"""NormL2: whole items divided by their length."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('NormL2')
class NormL2(Layer):
    """y = x / sqrt(Σ x² + 1e-7) over all values of an item, as (N, C, H, W) (the AdaCos branch of arcface-caffe).

    dx = (dy − y · Σ(y · dy)) / sqrt(Σ x² + 1e-7).
    """

    bottoms = 1
    tops = 1
    kept = ('_y', '_norm')
    reads_back = ()
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        if len(shape) > 4:
            self.error(f'bottom of shape {shape}, expected at most 4 axes')
        top[0].reshape(*(shape + (1,) * 4)[:4])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor.reshape(bottom[0].num, -1)
        self._norm = x.square().sum(1, keepdim=True).add_(1e-7).sqrt_()
        self._y = x / self._norm
        top[0].lend_data(self._y.reshape(top[0].shape))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            y = self._y
            dy = top[0].grad.reshape(y.shape)
            dx = torch.addcmul(dy, y, (y * dy).sum(1, keepdim=True), value=-1).div_(self._norm)
            bottom[0].grad = dx.reshape(bottom[0].shape)
