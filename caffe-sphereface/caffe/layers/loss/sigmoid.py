"""SigmoidCrossEntropyLoss: independent yes/no predictions against target probabilities."""

from math import prod

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.labels import check_batch
from caffe.layers.support.loss_normalizer import Normalizer
from caffe.layers.support.registry import Layer, register
from caffe.proto.caffe_pb2 import LossParameter


@register('SigmoidCrossEntropyLoss')
class SigmoidCrossEntropyLoss(Layer):
    """top = −Σ [t·log σ(x) + (1 − t)·log(1 − σ(x))] / normalizer, computed from x without overflow.

    Targets equal to `ignore_label` do not count. The normalizer is the batch size unless `loss_param` says otherwise.
    """

    bottoms = 2
    tops = 1
    loss = True
    auto_top = True
    no_diff_bottoms = (1,)
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.normalizer = Normalizer(self.param.loss_param, LossParameter.BATCH_SIZE)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        check_batch(self, bottom)
        if bottom[0].count != bottom[1].count:
            self.error(f'bottoms have shapes {bottom[0].shape} and {bottom[1].shape}, expected the same count')
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, target = bottom[0].tensor, bottom[1].tensor.reshape(bottom[0].shape)
        self._mask = self.normalizer.mask(target.long())
        self._divisor = self.normalizer.divisor(x.shape[0], prod(x.shape[1:]), self._mask)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(x, target, self._mask, reduction='sum')
        top[0].tensor = loss / self._divisor

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        if propagate_down[0]:
            x = bottom[0].tensor
            grad = torch.sigmoid(x).sub_(bottom[1].tensor.reshape(x.shape)).mul_(top[0].grad / self._divisor)
            bottom[0].grad = grad if self._mask is None else grad.mul_(self._mask)
