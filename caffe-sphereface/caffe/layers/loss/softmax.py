"""SoftmaxWithLoss: the multinomial logistic loss of the softmax of its input; R-FCN's gives each item's loss too."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.labels import check_batch, pick, positions, softmax
from caffe.layers.support.loss_normalizer import Normalizer
from caffe.layers.support.registry import BlobCount, Layer, register
from caffe.proto.caffe_pb2 import LossParameter

_FLT_MIN = torch.finfo(torch.float32).tiny


@register('SoftmaxWithLoss')
class SoftmaxWithLoss(Layer):
    """top = −Σ log(max(p_label, FLT_MIN)) / normalizer, with p the softmax along `softmax_param.axis`.

    Bottoms are scores and one label per position. The floor makes 87.3365 the largest loss of
    one item; the gradient (p − onehot) ignores it.

    With `weight_by_label_freqs`, of SegNet's fork, each item's loss is multiplied by the `class_weighting` of its
    label or, without that, divided by the number of the batch's items of the label; the divisor stays as it is.
    `label_smoothing` s, of Intel's fork, is in the gradient alone: with n values for each item and e = s / n it is
    (1 − e) p − e, and at the label (1 − e) p − (1 − s). `normalize_type` L1 or L2, of caffe-windows, takes for p the
    scores over their norm, as NormFace's Normalize, and leaves the gradient p − onehot.
    """

    bottoms = 2
    tops: BlobCount = 1
    loss = True
    auto_top = True
    no_diff_bottoms = (1,)
    kept = ('_p',)
    reads_back = ()
    no_capture: str | None = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.normalizer = Normalizer(self.param.loss_param)
        self.kind = self.param.softmax_param.normalize_type
        if self.kind not in ('Softmax', 'L1', 'L2'):
            self.error(f"normalize_type is '{self.kind}', expected Softmax, L1 or L2")
        if not 0 <= self.param.loss_param.label_smoothing < 1:
            self.error(f'label_smoothing is {self.param.loss_param.label_smoothing:g}, expected 0 or more and below 1')
        if self.param.loss_param.weight_by_label_freqs:
            self.no_capture = 'takes the weights of labels from the host'

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        check_batch(self, bottom)
        self.extent = positions(self, bottom[0], bottom[1], self.param.softmax_param.axis)
        stated = len(self.param.loss_param.class_weighting)
        if self.param.loss_param.weight_by_label_freqs and stated not in (0, self.extent[1]):
            self.error(f'has {stated} class_weighting, expected one for each of {self.extent[1]} classes')
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        outer, _, inner = self.extent
        self._p = self._likelihoods(bottom[0].tensor)
        labels = bottom[1].tensor.reshape(outer, 1, inner).long()
        self._index, self._mask = self.targets(labels)
        self._divisor = self.normalizer.divisor(outer, inner, self._mask)
        log = pick(self, self._p, self._index).clamp_(min=_FLT_MIN).log_()
        if self.param.loss_param.weight_by_label_freqs:
            self._mask = self._weights() if self._mask is None else self._weights() * self._mask
        losses = log.neg_() if self._mask is None else log * -self._mask
        top[0].tensor = losses.sum() / self._divisor
        self.give_items(top, losses)

    def targets(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(class of each label, with 0 in place of those that do not count; their mask or None)."""
        return self.normalizer.targets(labels)

    def _likelihoods(self, scores: torch.Tensor) -> torch.Tensor:
        """What stands for the probability of each class, in the shape of the extent."""
        if self.kind == 'Softmax':
            return softmax(scores, self.extent)
        x = scores.reshape(self.extent)
        return x / (
            x.square().sum(1, True).add_(1e-6).sqrt_() if self.kind == 'L2' else x.abs().sum(1, True).add_(1e-6)
        )

    def give_items(self, top: list[Blob], losses: torch.Tensor) -> None:
        """Fill tops behind the first from the `losses` of all labels and the probabilities."""

    def _weights(self) -> torch.Tensor:
        """What each item counts by its class, in the shape of the labels."""
        stated = self.param.loss_param.class_weighting
        if stated:
            return self._p.new_tensor(stated)[self._index]
        counted = None if self._mask is None else self._mask.flatten()
        counts = self._index.flatten().bincount(counted, minlength=self.extent[1])
        return counts[self._index].to(self._p.dtype).clamp(min=1).reciprocal()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        if propagate_down[0]:
            scale = top[0].grad / self._divisor
            scale = scale if self._mask is None else scale * self._mask
            smoothing = self.param.loss_param.label_smoothing
            share = smoothing / (self.extent[1] * self.extent[2])
            grad = (self._p * (1 - share)).sub_(share).mul_(scale) if smoothing else self._p * scale
            step = scale * (1 - smoothing - share) if smoothing else scale
            grad.scatter_add_(1, self._index, -step.expand(self._index.shape))
            bottom[0].grad = grad.reshape(bottom[0].shape)


@register('SoftmaxWithLossOHEM')
class SoftmaxWithLossOfRegions(SoftmaxWithLoss):
    """SoftmaxWithLoss of R-FCN's fork: tops 2 and 3 are the probabilities and the loss of each label.

    They have the shapes of the scores and of the labels.
    """

    tops = (1, 3)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        for blob, like in zip(top[1:], bottom):
            blob.reshape(*like.shape)

    def give_items(self, top: list[Blob], losses: torch.Tensor) -> None:
        for blob, values in zip(top[1:], (self._p, losses)):
            blob.tensor = values.reshape(blob.shape)


@register('VoxelSoftmaxWithLoss')
class VoxelSoftmaxWithLoss(SoftmaxWithLoss):
    """VOXEL_SOFTMAX_LOSS of C3D's fork: a label that is no class has no loss, and counts in the divisor all the same.

    The gradient of such a label is p, as C3D computes it, or 0 with `true_gradient`.
    """

    has_true_gradient = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().setup(bottom, top)
        self.normalizer.mode = LossParameter.FULL

    def targets(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        known = labels < self.extent[1]
        return torch.where(known, labels, 0), known.to(torch.get_default_dtype())

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        super().backward(top, propagate_down, bottom)
        if propagate_down[0] and self._mask is not None and not self.param.true_gradient:
            unknown = self._p * (1 - self._mask) * (top[0].grad / self._divisor)
            bottom[0].grad = bottom[0].grad + unknown.reshape(bottom[0].shape)
