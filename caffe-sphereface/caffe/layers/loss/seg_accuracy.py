"""SegAccuracy: how well the pixels of pictures are classified (DeepLab's and PSPNet's forks)."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('SegAccuracy')
class SegAccuracy(Layer):
    """Bottoms are scores (N, C, H, W) and labels (N, 1, H, W); top (1, 1, 1, 3) has three shares, from 0 to 1.

    With n_ij pixels of class i that score highest for class j: Σ n_ii / Σ n_ij; the mean of n_ii / Σ_j n_ij over the
    classes that occur; and the mean over all classes of n_ii / (Σ_j n_ij + Σ_j n_ji − n_ii), which is 1 for a class
    that neither occurs nor is predicted. Without pixels the first two are 0. A single channel stands for two classes,
    the second where it is above 0.5. Pixels of an `ignore_label` do not count. Without `reset` counts go on from
    forward to forward.
    """

    bottoms = 2
    tops = 1
    kept = ()
    reads_back = ()
    no_capture = 'it reads labels on the host'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._counts: torch.Tensor | None = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        scores, labels = bottom[0].shape, bottom[1].shape
        if len(scores) != 4 or not scores[1] or labels != (scores[0], 1, *scores[2:]):
            self.error(
                f'bottoms have shapes {scores} and {labels}, expected scores (num, classes, height, width) and labels '
                '(num, 1, height, width)'
            )
        top[0].reshape(1, 1, 1, 3)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        scores, labels = bottom[0].tensor, bottom[1].tensor.long().flatten()
        predicted = (scores.argmax(1) if scores.shape[1] > 1 else (scores[:, 0] > 0.5).long()).flatten()
        classes = max(2, scores.shape[1])
        counted = torch.ones_like(labels, dtype=torch.bool)
        for ignored in self.param.seg_accuracy_param.ignore_label:
            counted &= labels != ignored
        labels, predicted = labels[counted], predicted[counted]
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            self.error(f'has labels from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}')
        counts = (labels * classes + predicted).bincount(minlength=classes**2).reshape(classes, classes)
        if self._counts is not None and not self.param.seg_accuracy_param.reset:
            counts = counts + self._counts
        self._counts = counts
        top[0].tensor = _shares(counts.double()).to(scores.dtype).reshape(1, 1, 1, 3)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if any(propagate_down):
            self.error('has no gradient, expected no loss_weight and no force_backward')


def _shares(counts: torch.Tensor) -> torch.Tensor:
    """The three shares of counts (classes, predicted classes)."""
    right, actual, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    occurs, union = actual > 0, actual + predicted - right
    recall = (right / actual.clamp(min=1)).sum() / occurs.sum().clamp(min=1)
    overlap = torch.where(union == right, 1.0, right / union.clamp(min=1)).mean()
    return torch.stack([right.sum() / counts.sum().clamp(min=1), recall, overlap])
