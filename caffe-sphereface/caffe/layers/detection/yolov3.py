"""Yolov3: what version 3 of YOLO learns from (Redmon and Farhadi 2018), as MobileNet-YOLO has it."""

from collections.abc import Sequence

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.detection.yolo_loss import CLASSES, OBJECT, Objects, YoloLoss, groups, one_hot, targets
from caffe.layers.detection.yolo_overlap import general_overlap, overlap_slopes, shape_overlap
from caffe.layers.support.registry import register
from caffe.proto import caffe_pb2


@register('Yolov3')
class Yolov3(YoloLoss):
    """Version 3, on boxes of centres σ(x), σ(y) and anchors times exp(w), exp(h); all else is σ, too.

    An object is learned by the anchor of all `biases` whose shape is most like its own, if that is one of the layer's,
    those of `mask`: d is coord_scale · (2 − area) · (σ(x) − target), the same of w − log(size / anchor), σ(o) − 1, and
    class_scale · (p − [the class]). Where several objects choose one anchor in one cell, the last has the box, the
    first the classes, but for p − 1 at the classes of the others. Elsewhere d is σ(o), and 0 where the box overlaps an
    object by more than `thresh`. `biases` are widths and heights in pixels, `anchors_scale` the pixels of a cell.

    `use_focal_loss` multiplies the classes by −(1 − p)(2 p log p + p − 1) / 2 of the own one. With `iou_loss` IOU or
    GIOU the d of x and w, and likewise of y and h, are −iou_normalizer times the sum of the slopes of the (generalized)
    overlap by the box's two ends, and half their difference times exp(w); the loss has iou_normalizer · (1 −
    generalized overlap) for their squares. `use_logic_gradient` multiplies σ(o) − 1 by object_scale, and the gradient
    by the slopes of all σ; with an `iou_loss` the fork takes x (1 − x) for those of x and y. `noobject_scale` and
    `side` have no effect, as there. This is the fork's layer of 2019, before it smoothed labels.
    """

    @property
    def loss_param(self) -> caffe_pb2.Yolov3Parameter:
        return self.param.yolov3_param

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.loss_param
        if len(param.biases) % 2 or min(param.biases, default=0) <= 0:
            self.error(f'has {len(param.biases)} biases, expected a width and a height above 0 for each anchor')
        count = len(param.biases) // 2
        if not param.num or len(param.mask) != param.num or max(param.mask) >= count:
            self.error(f'has mask {list(param.mask)}, expected num {param.num} of the anchors 0 to {count - 1}')
        if not param.anchors_scale:
            self.error('anchors_scale is 0, expected the pixels of a cell')
        self.anchors, self.mask = np.array(param.biases).reshape(-1, 2) / param.anchors_scale, list(param.mask)
        self.squared = slice(0 if param.iou_loss == param.MSE else OBJECT, None)

    def activated(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.sigmoid(x[..., :2]), x[..., 2:OBJECT], torch.sigmoid(x[..., OBJECT:])], -1)

    def without_object(self, there: torch.Tensor) -> torch.Tensor:
        return there

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().forward(bottom, top)
        if self.loss_param.use_logic_gradient:
            x = self.cells(bottom[0])
            at = x[..., :2] if self.loss_param.iou_loss != self.loss_param.MSE else torch.sigmoid(x[..., :2])
            rest = torch.sigmoid(x[..., OBJECT:])
            self._grad *= torch.cat([at * (1 - at), torch.ones_like(x[..., 2:OBJECT]), rest * (1 - rest)], -1)

    def learn(self, p: torch.Tensor, boxes: torch.Tensor, objects: Objects, sizes: np.ndarray) -> torch.Tensor | float:
        param = self.loss_param
        best = shape_overlap(objects.box[:, 2:], sizes).argmax(1)
        learned = np.isin(best, self.mask)
        if not learned.any():
            return 0.0
        objects, best = objects.of(learned), best[learned]
        anchor = np.array([self.mask.index(index) for index in best], int)
        group, first, last = groups(objects.picture, anchor, objects.row, objects.column)
        final, place = objects.of(last), objects.of(last).places(anchor[last], p.device)
        own = p[place]
        there = (own[:, OBJECT, None] - 1) * (param.object_scale if param.use_logic_gradient else 1)
        at = self._box_differences(own, boxes[place], final, sizes[best[last]], p.shape[2:4])
        classes = self._class_differences(own[:, CLASSES:], objects.label, group, first)
        self._grad.index_put_(place, torch.cat([at, there, classes], 1))
        if param.iou_loss == param.MSE:
            return 0.0
        reached = general_overlap(boxes[objects.places(anchor, p.device)], torch.from_numpy(objects.box).to(p))
        return param.iou_normalizer * (1 - reached).sum()

    def _box_differences(
        self, p: torch.Tensor, boxes: torch.Tensor, objects: Objects, sizes: np.ndarray, cells: Sequence[int]
    ) -> torch.Tensor:
        """d (T, 4) of objects, from what their anchors of sizes (T, 2) say, p (T, 5 + K) and boxes (T, 4)."""
        param, true = self.loss_param, torch.from_numpy(objects.box).to(p)
        if param.iou_loss == param.MSE:
            scale = param.coord_scale * (2 - true[:, 2:].prod(1, True))
            return scale * (p[:, :OBJECT] - targets(objects, sizes, cells, p))
        low, high = overlap_slopes(boxes, true, param.iou_loss == param.GIOU)
        return -param.iou_normalizer * torch.cat([low + high, (high - low) / 2 * p[:, 2:OBJECT].exp()], 1)

    def _class_differences(
        self, p: torch.Tensor, labels: np.ndarray, group: np.ndarray, first: np.ndarray
    ) -> torch.Tensor:
        """d (G, K) of likelihoods p (G, K), in cells where objects of classes (T) are; `first` (G) come first there."""
        param, wanted = self.loss_param, one_hot(labels[first], p)
        difference = param.class_scale * (p - wanted)
        if param.use_focal_loss:
            own = (p * wanted).sum(1, True) + 1e-15
            difference *= -(1 - own) * (2 * own * own.log() + own - 1) / 2
        again = np.zeros(p.shape, bool)
        others = np.setdiff1d(np.arange(len(labels)), first)
        again[group[others], labels[others]] = True
        return torch.where(torch.from_numpy(again).to(p.device), p - 1, difference)
