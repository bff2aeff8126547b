"""Squares near zero and absolute values beyond: SSD's, Fast R-CNN's (Girshick 2015) and R-FCN's (Dai et al. 2016)."""

from math import prod

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.loss_normalizer import Normalizer
from caffe.layers.support.registry import BlobCount, Layer, register
from caffe.proto import caffe_pb2


def is_fast_rcnn(param: caffe_pb2.LayerParameter) -> bool:
    """Whether a SmoothL1Loss layer is Fast R-CNN's: it has a `smooth_l1_loss_param` or four bottoms."""
    return param.HasField('smooth_l1_loss_param') or len(param.bottom) == 4


def smooth_l1(distance: torch.Tensor, sigma: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """(f(d), f'(d)) of each d: (sigma · d)² / 2 where |d| < 1 / sigma², else |d| − 1 / (2 sigma²)."""
    square, size = sigma * sigma, distance.abs()
    near = size < 1 / square
    value = torch.where(near, distance.square() * (square / 2), size - 0.5 / square)
    return value, torch.where(near, distance * square, distance.sign())


class _SmoothL1(Layer):
    tops: BlobCount = 1
    auto_top = True
    kept = ('_slope',)
    reads_back = ()
    _slope: torch.Tensor
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for i, blob in enumerate(bottom):
            if blob.count != bottom[0].count or blob.shape[:1] != bottom[0].shape[:1]:
                self.error(f'bottom {i} has shape {blob.shape}, expected that of bottom 0, {bottom[0].shape}')
        top[0].reshape()

    def divisor(self, bottom: list[Blob]) -> float | torch.Tensor:
        """What the sum over all values is divided by."""
        return bottom[0].num

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for i in range(2, len(bottom)):
            self.refuse_gradient(propagate_down, i, 'weights')
        scale = top[0].grad / self.divisor(bottom)
        for wanted, blob, sign in zip(propagate_down, bottom[:2], (1, -1)):
            if wanted:
                blob.grad = (self._slope * (sign * scale)).reshape(blob.shape)


@register('SmoothL1Loss')
class SmoothL1Loss(_SmoothL1):
    """top = Σ f(a − b) / N over a batch of N items, f(d) = d² / 2 where |d| < 1, else |d| − ½ (SSD's fork)."""

    bottoms = 2
    loss = True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        a, b = bottom
        value, self._slope = smooth_l1(a.tensor - b.tensor.reshape(a.shape))
        top[0].tensor = value.sum() / a.num


@register('SmoothL1Loss', when=is_fast_rcnn)
class WeightedSmoothL1Loss(_SmoothL1):
    """top = Σ w_out · f(w_in · (a − b)) / N with f of width 1 / sigma²; bottoms a, b and perhaps w_in, w_out.

    Fast R-CNN's fork. Its weight in the net's loss is 0 unless the prototxt gives a `loss_weight`.
    """

    bottoms = (2, 4)
    no_diff_bottoms = (2, 3)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(bottom) == 3:
            self.error('has 3 bottom blobs, expected 2, or 4 with inside and outside weights')
        if self.param.smooth_l1_loss_param.sigma == 0:
            self.error('sigma is 0, expected another number')

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        a, b, *weights = (blob.tensor.reshape(bottom[0].shape) for blob in bottom)
        inside, outside = weights or (1, 1)
        value, slope = smooth_l1((a - b) * inside, self.param.smooth_l1_loss_param.sigma)
        self._slope = slope * inside * outside
        top[0].tensor = (value * outside).sum() / bottom[0].num


@register('SmoothL1LossOHEM')
class SmoothL1LossOfRegions(_SmoothL1):
    """top = Σ f(w · (a − b)) / divisor, f of width 1; a second top (R, 1, H, W) has each region's own sum.

    Bottoms a, b and perhaps w, of shape (R, C, H, W) or (R, C). `loss_param` says what is divided by, R · H · W where
    it does not. R-FCN's fork, whose gradient this is where all w are 0 or 1, as there.
    """

    bottoms = (2, 3)
    tops = (1, 2)
    loss = True
    no_diff_bottoms = (2,)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.normalizer = Normalizer(self.param.loss_param)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        shape = bottom[0].shape
        if len(shape) not in (2, 4):
            self.error(f'bottom 0 has shape {shape}, expected (regions, channels) with or without height and width')
        for blob in top[1:]:
            blob.reshape(shape[0], 1, *(shape[2:] or (1, 1)))

    def divisor(self, bottom: list[Blob]) -> float | torch.Tensor:
        return self.normalizer.divisor(bottom[0].num, prod(bottom[0].shape[2:]))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        a, b, *weights = (blob.tensor.reshape(bottom[0].shape) for blob in bottom)
        weight = weights[0] if weights else 1
        value, slope = smooth_l1((a - b) * weight)
        self._slope = slope * weight
        top[0].tensor = value.sum() / self.divisor(bottom)
        for blob in top[1:]:
            blob.tensor = value.sum(1).reshape(blob.shape)
