"""DetectionLoss: what the maps of a detector on several scales learn from, classes and boxes of cells (MS-CNN)."""

import numpy as np
import torch

from caffe import random
from caffe.blobs.blob import Blob
from caffe.layers.regions.scale_map import ScaleMap
from caffe.layers.support.registry import register
from caffe.proto.caffe_pb2 import DetectionLossParameter

_FLT_MIN = torch.finfo(torch.float32).tiny
_MODES = ('random', 'bootstrap', 'mixture', 'all')


@register('DetectionLoss')
class DetectionLoss(ScaleMap):
    """Top (1, 1, 1, 2): C + λ · B and λ · B, from the classes and the boxes of a map's cells (Cai et al. 2016).

    Bottoms: a map (N, K + 4, H, W), scores of the background and of K − 1 classes and a box's code, and labels
    (N, 6, H, W) as ImageGtData gives them: class, middle x and y, width and height of the true box in pixels, and the
    largest overlap with any. With `objectness` all classes are one. Cells of `ignore_label` do not count.

    C is the mean of w · −log p of the cells of objects and of sampled ones of the background, those whose overlap lies
    below `bg_threshold`. With m = `bg_multiple`, `sample_mode` says which of an image with P cells of objects: 'random'
    those of max(m · P, 4 · (K − 1)) draws, 'bootstrap' for each class of P_k cells the max(m · P_k, 4) of largest
    score, of equal ones the last, 'mixture' half as many of both, 'all' all. w is 1, with `iou_weighted` the overlap
    in cells of objects; `pos_neg_weighted` scales it so that those have 1 / (1 + m) of all weight, the background the
    rest (where there is one of the kind, as MS-CNN's GPU code does it).

    B is the mean of f(t − g) over the numbers of objects' cells; g is the true box's code, of sides of 2 pixels at
    least, t the map's. t is kept within ±1 / field_xyr and ±log(field_whr), which are scaled by the mean of
    `bbox_reg_param`'s means and the geometric mean of its deviations, of x and y and of w and h. f(d) is d² / 2, and
    with `bb_smooth` |d| − ½ beyond |d| = 1.

    The gradient is that of the first value alone, and takes t as if nothing limited it; with `true_gradient` it is the
    derivative of both values.
    """

    tops = 1
    loss = True
    auto_top = True
    no_diff_bottoms = (1,)
    kept = ('_dscores', '_dcode')
    reads_back = ()
    has_true_gradient = True
    no_capture = 'counts its cells on the host'

    @property
    def settings(self) -> DetectionLossParameter:
        """The layer's own parameter."""
        return self.param.detection_loss_param

    def own_problem(self) -> str | None:
        mode = self.settings.sample_mode
        return None if mode in _MODES else f"sample_mode is '{mode}', expected one of {', '.join(_MODES)}"

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        top[0].reshape(1, 1, 1, 2)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        scores, code = bottom[0].tensor.split([self.settings.cls_num, 4], 1)
        truth = bottom[1].tensor
        labels = self._labels(truth[:, 0])
        of_classes, self._dscores = self._class_loss(scores, labels, truth[:, 5])
        of_boxes, self._dcode = self._box_loss(code, labels, truth[:, 1:5])
        top[0].tensor = torch.stack([of_classes + of_boxes, of_boxes]).reshape(top[0].shape)

    def _labels(self, values: torch.Tensor) -> torch.Tensor:
        """The labels (N, H, W) of the cells, which are checked."""
        labels = values.long()
        known = labels if self.ignored is None else labels[labels != self.ignored]
        classes = self.settings.cls_num
        if known.numel() and (known.min() < 0 or known.max() >= classes and not self.settings.objectness):
            self.error(f'has labels from {known.min()} to {known.max()}, expected 0 to {classes - 1}')
        return labels

    def _class_loss(
        self, scores: torch.Tensor, labels: torch.Tensor, overlaps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """C and its derivatives (N, K, H, W)."""
        objects = labels != 0
        classes = labels.clamp(max=1) if self.settings.objectness else labels
        background = self._sampled(scores, classes, ~objects & (overlaps < self.settings.bg_threshold))
        counted = objects | background
        weights = self._weights(objects, background, overlaps)
        if self.ignored is not None:
            counted &= classes != self.ignored
        index = torch.where(counted, classes, 0).unsqueeze(1)
        p = torch.softmax(scores, 1)
        each = -p.gather(1, index).squeeze(1).clamp(min=_FLT_MIN).log()
        weights = torch.where(counted, weights, 0) / self.class_count(counted)
        target = torch.zeros_like(p).scatter_(1, index, 1)
        return (each * weights).sum(), (p - target) * weights.unsqueeze(1)

    def _sampled(self, scores: torch.Tensor, classes: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Which of the `candidates` (N, H, W) for the background are learned from."""
        mode = self.settings.sample_mode
        if mode == 'all':
            return candidates
        share = self.settings.bg_multiple * (0.5 if mode == 'mixture' else 1)
        chosen = torch.zeros_like(candidates).flatten(1)
        for own, label, score, possible in zip(chosen, classes, scores, candidates.flatten(1)):
            counts = [int((label == k).sum()) for k in range(self.settings.cls_num)]
            if mode != 'bootstrap':
                draws = max(int(int((label != 0).sum()) * share), 4 * (self.settings.cls_num - 1))
                own[self._drawn(len(own), draws)] = True
            if mode != 'random':
                for k in range(1, self.settings.cls_num):
                    own[_largest(score[k].flatten(), possible, max(int(counts[k] * share), 4))] = True
        return chosen.reshape(candidates.shape) & candidates

    def _drawn(self, cells: int, count: int) -> torch.Tensor:
        """Random cells, some of them perhaps several times."""
        return torch.randint(cells, (count,), generator=random.generator(self.device), device=self.device)

    def _weights(self, objects: torch.Tensor, background: torch.Tensor, overlaps: torch.Tensor) -> torch.Tensor:
        """w (N, H, W)."""
        param = self.settings
        weights = torch.where(objects, overlaps, 1) if param.iou_weighted else torch.ones_like(overlaps)
        if not param.pos_neg_weighted:
            return weights
        total, share = (objects | background).sum(), 1 / (1 + param.bg_multiple)
        for cells, part in ((objects, share), (background, 1 - share)):
            own = (weights * cells).sum()
            factor = torch.where(own != 0, part * total / own, 1)
            weights = torch.where(cells, weights * factor, weights)
        return weights

    def _box_loss(
        self, code: torch.Tensor, labels: torch.Tensor, truth: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """λ · B and its derivatives (N, 4, H, W)."""
        learned = self.objects(labels)
        low, high = (torch.from_numpy(limit).to(code).reshape(4, 1, 1) for limit in self._limits())
        distance = torch.where(learned.unsqueeze(1), code.clamp(low, high) - self._goals(truth), 0)
        slope = distance.clamp(-1, 1) if self.settings.bb_smooth else distance
        # d² / 2 where d is the slope, |d| − ½ where the slope is ±1
        value = slope * (distance - slope / 2)
        factor = getattr(self.settings, 'lambda') / self.box_count(learned)
        if self.true_gradient:
            slope = torch.where((code >= low) & (code <= high), slope, 0)
        return value.sum() * factor, slope * factor

    def _limits(self) -> list[np.ndarray]:
        """The least and the largest t (4)."""
        mean, std = self.scaling.mean.reshape(2, 2).mean(1), np.sqrt(self.scaling.std.reshape(2, 2).prod(1))
        return [(limit - mean.repeat(2)) / std.repeat(2) for limit in self.fields.limits]

    def _goals(self, truth: torch.Tensor) -> torch.Tensor:
        """g (N, 4, H, W) of true boxes (N, 4, H, W)."""
        height, width = truth.shape[2:]
        middles = torch.from_numpy(self.fields.middles(height, width)).to(truth).T.reshape(2, height, width)
        size, mean, std = (
            torch.from_numpy(values).to(truth).reshape(-1, 1, 1)
            for values in (self.fields.size, self.scaling.mean, self.scaling.std)
        )
        codes = torch.cat([(truth[:, :2] - middles) / size, (truth[:, 2:].clamp(min=2) / size).log()], 1)
        return (codes - mean) / std

    def class_count(self, counted: torch.Tensor) -> torch.Tensor | int:
        """What the sum of C is divided by."""
        return counted.sum().clamp(min=1)

    def box_count(self, learned: torch.Tensor) -> torch.Tensor | int:
        """What the sum of B is divided by."""
        return 4 * learned.sum().clamp(min=1)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        if propagate_down[0]:
            first, second = top[0].grad.flatten()
            of_boxes = first + second if self.true_gradient else first
            bottom[0].grad = torch.cat([self._dscores * first, self._dcode * of_boxes], 1)


@register('Detection')
class Detection(DetectionLoss):
    """DetectionLoss of MS-CNN's first version, by its `detection_param`.

    With `normalize: false` in `loss_param` sums are divided by the number of images, those of boxes by 4 times that.
    """

    @property
    def settings(self) -> DetectionLossParameter:
        """The layer's own parameter."""
        return self.param.detection_param

    def _by_images(self) -> bool:
        return self.param.loss_param.HasField('normalize') and not self.param.loss_param.normalize

    def class_count(self, counted: torch.Tensor) -> torch.Tensor | int:
        """What the sum of C is divided by."""
        return len(counted) if self._by_images() else super().class_count(counted)

    def box_count(self, learned: torch.Tensor) -> torch.Tensor | int:
        """What the sum of B is divided by."""
        return 4 * len(learned) if self._by_images() else super().box_count(learned)


def _largest(scores: torch.Tensor, possible: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` cells of largest score among the possible ones, of equal ones the last."""
    cells = possible.nonzero().flatten().flip(0)
    return cells[torch.argsort(scores[cells], descending=True, stable=True)[:count]]
