"""Losses of one label per item: HingeLoss, MultinomialLogisticLoss and InfogainLoss."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.labels import Extent, check_batch, pick, positions, softmax
from caffe.layers.support.loss_normalizer import Normalizer
from caffe.layers.support.registry import Layer, register
from caffe.proto import wire

_LOG_FLOOR = 1e-20


class _OneLabelPerItem(Layer):
    """A loss of predictions (N, …) and labels (N); every axis of the predictions after the first counts as classes."""

    bottoms = 2
    tops = 1
    loss = True
    auto_top = True
    no_diff_bottoms = (1,)
    extent: Extent
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        check_batch(self, bottom)
        items = bottom[0].num
        if bottom[1].count != items:
            self.error(
                f'has labels of shape {bottom[1].shape} for predictions of shape {bottom[0].shape}, '
                f'expected {items} labels'
            )
        self.extent = items, bottom[0].count // max(1, items), 1
        top[0].reshape()


@register('HingeLoss')
class HingeLoss(_OneLabelPerItem):
    """top = Σ max(0, 1 − t·x)^p / N over N items and all classes, t = 1 for the label and −1 otherwise; p 1 or 2."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor.reshape(self.extent)
        labels = bottom[1].tensor.reshape(-1, 1, 1).long()
        margin = x.scatter(1, labels, -pick(self, x, labels)).add_(1).clamp_(min=0)
        self._labels, self._margin = labels, margin
        squared = self._squared()
        top[0].tensor = (margin.square() if squared else margin).sum() / self.extent[0]

    def _squared(self) -> bool:
        return self.param.hinge_loss_param.norm == self.param.hinge_loss_param.L2

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        if propagate_down[0]:
            slope = 2 * self._margin if self._squared() else self._margin.sign()
            grad = slope.scatter(1, self._labels, -slope.gather(1, self._labels))
            bottom[0].grad = grad.mul_(top[0].grad / self.extent[0]).reshape(bottom[0].shape)


@register('MultinomialLogisticLoss')
class MultinomialLogisticLoss(_OneLabelPerItem):
    """top = −Σ log(max(p_label, 1e-20)) / N of predicted probabilities p."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._labels = bottom[1].tensor.reshape(-1, 1, 1).long()
        self._p = pick(self, bottom[0].tensor.reshape(self.extent), self._labels).clamp(min=_LOG_FLOOR)
        top[0].tensor = self._p.log().sum() / -self.extent[0]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        if propagate_down[0]:
            grad = torch.zeros(self.extent, device=self.device)
            grad.scatter_(1, self._labels, top[0].grad / -self.extent[0] / self._p)
            bottom[0].grad = grad.reshape(bottom[0].shape)


@register('InfogainLoss')
class InfogainLoss(Layer):
    """top = −Σ_k H[label, k] · log(max(p_k, 1e-20)) / normalizer, with p the softmax along `infogain_loss_param.axis`.

    H, classes x classes, is the third bottom or a BlobProto in the file `infogain_loss_param.source`; a second top
    receives p.
    """

    bottoms = (2, 3)
    tops = (1, 2)
    loss = True
    auto_top = True
    no_diff_bottoms = (1,)
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.normalizer = Normalizer(self.param.loss_param)
        source = self.param.infogain_loss_param.source
        if len(bottom) < 3:
            if not source:
                self.error('has no infogain matrix, expected a third bottom or infogain_loss_param { source: FILE }')
            self._matrix = torch.from_numpy(wire.blob_array(wire.parse_raw(source, 'BlobProto'), source).copy())

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        check_batch(self, bottom)
        self.extent = positions(self, bottom[0], bottom[1], self.param.infogain_loss_param.axis)
        classes = self.extent[1]
        count = bottom[2].count if len(bottom) > 2 else self._matrix.numel()
        if count != classes * classes:
            self.error(f'infogain matrix has {count} values, expected {classes} x {classes}')
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        outer, classes, inner = self.extent
        if len(bottom) < 3:
            self._matrix = self._matrix.to(self.device)
        matrix = bottom[2].tensor if len(bottom) > 2 else self._matrix
        self._p = softmax(bottom[0].tensor, self.extent)
        labels = bottom[1].tensor.reshape(outer, 1, inner).long()
        index, mask = self.normalizer.targets(labels)
        self._divisor = self.normalizer.divisor(outer, inner, mask)
        pick(self, self._p, index)
        gain = matrix.reshape(classes, classes)[index[:, 0]].movedim(-1, 1)
        self._gain = gain if mask is None else gain * mask
        top[0].tensor = (self._gain * self._p.clamp(min=_LOG_FLOOR).log()).sum() / -self._divisor
        if len(top) > 1:
            top[1].tensor = self._p.reshape(bottom[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        if len(bottom) > 2:
            self.refuse_gradient(propagate_down, 2, 'the infogain matrix')
        if propagate_down[0]:
            grad = self._p * self._gain.sum(1, keepdim=True) - self._gain
            bottom[0].grad = grad.mul_(top[0].grad / self._divisor).reshape(bottom[0].shape)
