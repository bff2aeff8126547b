"""FocalLoss: a softmax loss in which well-predicted items count less (Lin et al. 2017)."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.labels import pick, positions, softmax
from caffe.layers.support.loss_normalizer import Normalizer
from caffe.layers.support.registry import Layer, register

_FLT_MIN = torch.finfo(torch.float32).tiny


@register('FocalLoss')
class FocalLoss(Layer):
    """top = −Σ q · log(max(p, FLT_MIN)) / normalizer with q = (alpha − p)^gamma, p the label's softmax (caffe-windows).

    `type: ONEADDP` takes q = (alpha + p)^gamma; LINEAR is ORIGIN, and `beta` has no effect. Bottoms, `loss_param` and
    the second top, the softmax, are those of SoftmaxWithLoss. alpha stands where the 1 of the paper should, and the
    gradient is coded as for alpha = 1; with `true_gradient` it is that of the formula above.
    """

    bottoms = 2
    tops = (1, 2)
    loss = True
    auto_top = True
    no_diff_bottoms = (1,)
    kept = ('_p', '_own', '_index', '_mask', '_divisor')
    reads_back = ()
    has_true_gradient = True
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.focal_loss_param
        self.normalizer = Normalizer(self.param.loss_param)
        self.alpha, self.gamma = param.alpha, param.gamma
        self.sign = 1 if param.type == param.ONEADDP else -1

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.extent = positions(self, bottom[0], bottom[1], self.param.softmax_param.axis)
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        outer, _, inner = self.extent
        self._p = softmax(bottom[0].tensor, self.extent)
        labels = bottom[1].tensor.reshape(outer, 1, inner).long()
        self._index, self._mask = self.normalizer.targets(labels)
        self._divisor = self.normalizer.divisor(outer, inner, self._mask)
        self._own = pick(self, self._p, self._index)
        loss = self._focus() * self._own.clamp(min=_FLT_MIN).log()
        top[0].tensor = (loss if self._mask is None else loss * self._mask).sum() / -self._divisor
        if len(top) > 1:
            top[1].tensor = self._p.reshape(bottom[0].shape)

    def _focus(self) -> torch.Tensor:
        return (self.alpha + self.sign * self._own).pow(self.gamma)

    def _slope(self) -> torch.Tensor:
        """−p · d(loss)/dp of the label's p, for each position."""
        p, focus = self._own, self._focus()
        base = (self.alpha if self.true_gradient else 1) + self.sign * p
        if self.sign < 0 and not self.true_gradient:
            base = base.clamp(min=1e-10)
        return focus + self.sign * self.gamma * focus / base * p * p.clamp(min=_FLT_MIN).log()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        if propagate_down[0]:
            scale = self._slope() * (top[0].grad / self._divisor)
            scale = scale if self._mask is None else scale * self._mask
            grad = (self._p * scale).scatter_add_(1, self._index, -scale)
            bottom[0].grad = grad.reshape(bottom[0].shape)
