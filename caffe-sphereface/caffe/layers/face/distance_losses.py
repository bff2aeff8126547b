"""GeneralContrastiveLoss and GeneralTripletLoss: losses on distances to the centres of classes (NormFace, 2017)."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import BlobCount, Layer, register
from caffe.layers.support.scores import labelled


class _DistanceLoss(Layer):
    """What both have in common: distances (N, K), labels (N), and a second top of mean distances (2)."""

    bottoms: BlobCount = (2, 3)
    tops: BlobCount = (1, 2)
    loss = True
    auto_top = True
    no_diff_bottoms = (1, 2)
    kept = ('_slope',)
    reads_back = ()
    _slope: torch.Tensor

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        distances, labels = bottom[0].shape, bottom[1].count
        if len(distances) < 2 or labels != distances[0] or bottom[0].count < 2 * labels:
            self.error(
                f'has labels of shape {bottom[1].shape} for distances of shape {distances}, expected one an item'
            )
        top[0].reshape()
        for blob in top[1:]:
            blob.reshape(2)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for i in range(1, len(bottom)):
            self.refuse_gradient(propagate_down, i, 'labels or what distances are held to')
        if propagate_down[0]:
            bottom[0].grad = (self._slope * (top[0].grad / len(self._slope))).reshape(bottom[0].shape)


@register('GeneralContrastiveLoss')
class GeneralContrastiveLoss(_DistanceLoss):
    """top = Σ |w⁺ · min(T, max(0, d − m⁺))| of an item's distance to its own centre, plus Σ |w⁻ · (m⁻ − d)| of the
    others below m⁻, over N (caffe-windows).

    w and m are `positive_weight`, `negative_weight`, `positive_margin`, `negative_margin`, T is
    `positive_outlier_thresh`. With `exp_negative_weight` the others count exp(−d) instead, with `max_negative_only` the
    largest of an item, if it is larger than the first class's value; with `max_positive_only` one own distance of the
    batch, the smallest. `positive_first` leaves out the others of items beyond `positive_upper_bound`. A third bottom
    (N, K) stands for the distances. The second top has the means of both kinds without weights.

    The gradient is that of the first top, and takes w⁺ where m⁺ < d < T, or beyond the upper bound. With
    `normalize_negative` it is divided, for others, by their sum over N · normalize_negative, where that exceeds w⁺.
    """

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self.param.general_contrastive_loss_param.add_intra_mae:
            self.error('add_intra_mae: true is not implemented, expected false')

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.general_contrastive_loss_param
        d, index, own, _ = labelled(self, [bottom[-1] if len(bottom) == 3 else bottom[0], bottom[1]])
        others = torch.ones_like(d).scatter_(1, index, 0).bool()
        positive = (own - param.positive_margin).clamp(min=0).clamp(max=param.positive_outlier_thresh)
        near = others & (d < param.negative_margin)
        short = torch.where(near, param.negative_margin - d, 0)
        size = torch.where(near, (-d).exp(), 0) if param.exp_negative_weight else short
        beyond = own > param.positive_upper_bound if param.positive_first else torch.zeros_like(own).bool()
        counted = near & ~beyond
        if param.max_negative_only:
            counted &= self._largest(size * param.negative_weight * ~beyond, positive * param.positive_weight, index)
        chosen = torch.ones_like(own).bool()
        if param.max_positive_only:
            chosen = torch.zeros_like(chosen)
            chosen[(positive * param.positive_weight).argmin()] = True
        values = (positive * chosen).abs().sum() * abs(param.positive_weight)
        top[0].tensor = (values + (size * counted).abs().sum() * abs(param.negative_weight)) / len(d)
        if len(top) > 1:
            top[1].tensor = torch.stack([positive.sum(), short.sum() / (d.shape[1] - 1)]) / len(d)
        slope = -param.negative_weight * counted * (size if param.exp_negative_weight else 1)
        if param.HasField('normalize_negative'):
            total = slope.sum().abs() / param.normalize_negative / len(d)
            slope = torch.where(total > param.positive_weight, slope / total, slope)
        inside = (own > param.positive_margin) & (own < param.positive_outlier_thresh) & chosen
        self._slope = slope.scatter(1, index, param.positive_weight * (inside | beyond).to(d))

    def _largest(self, values: torch.Tensor, positive: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Which value of each item (N, K) is the largest, none where the first class's is, if that is its own."""
        best = values.scatter(1, index, torch.where(index == 0, positive, 0)).argmax(1, keepdim=True)
        return torch.zeros_like(values).scatter_(1, best, 1).bool()


@register('GeneralTripletLoss')
class GeneralTripletLoss(_DistanceLoss):
    """top = Σ |w⁻ · max(0, d_own + margin − d)| over an item's distances to all other centres, over N (caffe-windows).

    With `hardest_only` the largest of an item counts alone; `positive_first` leaves out items whose own distance
    exceeds `positive_upper_bound`. The second top has the means of the own distances and of the others. The gradient is
    −w⁻ (`negative_weight`) for each other that counts and w⁺ (`positive_weight`) once for the own distance: where any
    counts, beyond the upper bound, and with `add_center_loss`, the default, always. A third bottom (N) multiplies it.
    """

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.general_triplet_loss_param
        d, index, own, _ = labelled(self, bottom)
        others = torch.ones_like(d).scatter_(1, index, 0)
        short = (own + param.margin - d).clamp(min=0) * others
        counted = short > 0
        if param.hardest_only:
            counted &= torch.zeros_like(counted).scatter_(1, short.argmax(1, keepdim=True), True)
        beyond = own > param.positive_upper_bound if param.positive_first else torch.zeros_like(own).bool()
        counted &= ~beyond
        top[0].tensor = (short * counted).sum() * abs(param.negative_weight) / len(d)
        if len(top) > 1:
            top[1].tensor = torch.stack([own.sum(), (d * others).sum() / (d.shape[1] - 1)]) / len(d)
        pulled = beyond | counted.any(1, keepdim=True) | param.add_center_loss
        self._slope = (-param.negative_weight * counted).scatter(1, index, param.positive_weight * pulled.to(d))
        if len(bottom) == 3:
            self._slope = self._slope * bottom[2].tensor.reshape(-1, 1)
