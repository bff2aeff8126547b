"""Accuracy: the share of items whose label is among the k best scores."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.labels import pick, positions
from caffe.layers.support.registry import Layer, register


@register('Accuracy')
class Accuracy(Layer):
    """top = right / counted; a second top gives the same for each class.

    An item is right when fewer than `top_k` other classes score as high as its label or higher: ties count against.
    With `min_is_better`, of caffe-windows, low scores, such as distances, are the good ones.
    Items labelled `ignore_label` do not count; where none count the accuracy is 0.
    """

    bottoms = 2
    tops = (1, 2)
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.accuracy_param
        self.extent = positions(self, bottom[0], bottom[1], param.axis)
        if param.top_k > self.extent[1]:
            self.error(f'top_k is {param.top_k}, expected at most the number of classes, {self.extent[1]}')
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(self.extent[1])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        outer, classes, inner = self.extent
        param = self.param.accuracy_param
        scores = bottom[0].tensor.reshape(self.extent)
        if param.min_is_better:
            scores = -scores
        labels = bottom[1].tensor.reshape(outer, 1, inner).long()
        ignored = torch.zeros_like(labels, dtype=bool)
        if param.HasField('ignore_label'):
            ignored = labels == param.ignore_label
        labels = labels.masked_fill(ignored, 0)
        as_good = (scores >= pick(self, scores, labels)).sum(1, keepdim=True) - 1
        right = ((as_good < param.top_k) & ~ignored).float()
        counted = (~ignored).float()
        top[0].tensor = right.sum() / counted.sum().clamp(min=1)
        if len(top) > 1:
            per_class = torch.zeros(2, classes, device=scores.device)
            per_class[0].index_add_(0, labels.flatten(), right.flatten())
            per_class[1].index_add_(0, labels.flatten(), counted.flatten())
            top[1].tensor = per_class[0] / per_class[1].clamp(min=1)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if any(propagate_down):
            self.error('has no gradient, expected no loss_weight and no force_backward')
