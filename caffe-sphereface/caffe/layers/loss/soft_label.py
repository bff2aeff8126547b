"""SoftmaxCrossEntropyLoss: a softmax loss of likelihoods instead of labels, which colorization is trained with."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.labels import check_batch
from caffe.layers.support.registry import Layer, register


@register('SoftmaxCrossEntropyLoss')
class SoftmaxCrossEntropyLoss(Layer):
    """top = Σ t · (log t − log p) / N over what of the targets t is above 0, p the softmax along `softmax_param.axis`.

    Scores and targets have the same count; N is the batch size. The gradient p − t is that of targets that add up to 1;
    with `true_gradient` it is p · Σ t − t, of whatever they add up to.
    """

    bottoms = 2
    tops = 1
    loss = True
    auto_top = True
    no_diff_bottoms = (1,)
    kept = ('_grad',)
    reads_back = ()
    has_true_gradient = True
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        check_batch(self, bottom)
        if bottom[0].count != bottom[1].count:
            self.error(f'bottoms have shapes {bottom[0].shape} and {bottom[1].shape}, expected a target for each score')
        self.classes = self.axis(self.param.softmax_param.axis, bottom[0])
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        scores = bottom[0].tensor
        target = bottom[1].tensor.reshape(scores.shape)
        log = torch.log_softmax(scores, self.classes)
        stated = target.clamp(min=0)
        top[0].tensor = (torch.xlogy(stated, stated) - stated * log).sum() / len(scores)
        weight = stated.sum(self.classes, True) if self.true_gradient else 1
        self._grad = log.exp() * weight - (stated if self.true_gradient else target)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'targets')
        if propagate_down[0]:
            bottom[0].grad = self._grad * (top[0].grad / bottom[0].shape[0])
