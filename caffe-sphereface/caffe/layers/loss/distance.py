"""Losses on the distance of two inputs: EuclideanLoss and ContrastiveLoss."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.labels import check_batch
from caffe.layers.support.registry import Layer, register


@register('EuclideanLoss')
class EuclideanLoss(Layer):
    """top = Σ (a − b)² / 2N over a batch of N items."""

    bottoms = 2
    tops = 1
    loss = True
    auto_top = True
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        a, b = bottom
        check_batch(self, bottom)
        if a.count != b.count:
            self.error(f'bottoms have shapes {a.shape} and {b.shape}, expected the same count')
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        a, b = bottom
        self._diff = a.tensor - b.tensor.reshape(a.shape)
        flat = self._diff.reshape(-1)
        top[0].tensor = torch.dot(flat, flat) / (2 * a.num)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        scale = top[0].grad / bottom[0].num
        for wanted, blob, sign in zip(propagate_down, bottom, (1, -1)):
            if wanted:
                blob.grad = (self._diff * (sign * scale)).reshape(blob.shape)


@register('ContrastiveLoss')
class ContrastiveLoss(Layer):
    """top = Σ [similar: d²; else: max(margin − d, 0)²] / 2N, with d the distance of rows of a and b (Hadsell 2006).

    The third bottom is non-zero for similar pairs. `legacy_version` takes max(margin − d², 0) for the unlike.
    """

    bottoms = 3
    tops = 1
    loss = True
    auto_top = True
    no_diff_bottoms = (2,)
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        a, b, similar = bottom
        check_batch(self, bottom)
        if a.shape != b.shape or a.count != a.num * a.channels or (similar.count, similar.num) != (a.num, a.num):
            self.error(f'bottoms have shapes {a.shape}, {b.shape} and {similar.shape}, expected (N, C) twice and (N)')
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.contrastive_loss_param
        a, b, similar = (blob.tensor.reshape(bottom[0].num, -1) for blob in bottom)
        self._diff = a - b
        square = self._diff.square().sum(1, keepdim=True)
        alike = similar.long() != 0
        if param.legacy_version:
            room = (param.margin - square).clamp(min=0)
            unlike, pull = room, -(room > 0).float()
        else:
            distance = square.sqrt()
            room = (param.margin - distance).clamp(min=0)
            # 1e-4 keeps the gradient of coinciding pairs finite
            unlike, pull = room.square(), -room / (distance + 1e-4)
        self._pull = torch.where(alike, torch.ones_like(pull), pull)
        top[0].tensor = torch.where(alike, square, unlike).sum() / (2 * bottom[0].num)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 2, 'labels')
        scale = top[0].grad / bottom[0].num
        for wanted, blob, sign in zip(propagate_down, bottom, (1, -1)):
            if wanted:
                blob.grad = (self._diff * (self._pull * (sign * scale))).reshape(blob.shape)
