"""SoftmaxWithLoss: the multinomial logistic loss of the softmax of its input."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.labels import check_batch, pick, positions, softmax
from caffe.layers.support.loss_normalizer import Normalizer
from caffe.layers.support.registry import Layer, register

_FLT_MIN = torch.finfo(torch.float32).tiny


@register('SoftmaxWithLoss')
class SoftmaxWithLoss(Layer):
    """top = −Σ log(max(p_label, FLT_MIN)) / normalizer, with p the softmax along `softmax_param.axis`.

    Bottoms are scores and one label per position. The floor makes 87.3365 the largest loss of
    one item; the gradient (p − onehot) ignores it.
    """

    bottoms = 2
    tops = 1
    loss = True
    auto_top = True
    no_diff_bottoms = (1,)
    kept = ('_p',)
    reads_back = ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.normalizer = Normalizer(self.param.loss_param)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        check_batch(self, bottom)
        self.extent = positions(self, bottom[0], bottom[1], self.param.softmax_param.axis)
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        outer, _, inner = self.extent
        self._p = softmax(bottom[0].tensor, self.extent)
        labels = bottom[1].tensor.reshape(outer, 1, inner).long()
        self._index, self._mask = self.normalizer.targets(labels)
        self._divisor = self.normalizer.divisor(outer, inner, self._mask)
        log = pick(self, self._p, self._index).clamp_(min=_FLT_MIN).log_()
        log = log if self._mask is None else log * self._mask
        top[0].tensor = log.sum() / -self._divisor

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        if propagate_down[0]:
            scale = top[0].grad / self._divisor
            scale = scale if self._mask is None else scale * self._mask
            grad = self._p * scale
            grad.scatter_add_(1, self._index, -scale.expand(self._index.shape))
            bottom[0].grad = grad.reshape(bottom[0].shape)
