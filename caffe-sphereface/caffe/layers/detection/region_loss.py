"""RegionLoss: what version 2 of YOLO learns from (Redmon and Farhadi 2017), as MobileNet-YOLO has it."""

from collections.abc import Sequence

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.detection.yolo_loss import CLASSES, OBJECT, Objects, YoloLoss, groups, one_hot, targets
from caffe.layers.detection.yolo_overlap import overlap, shape_overlap
from caffe.layers.support.registry import register
from caffe.proto import caffe_pb2

# all boxes are pulled towards their anchors until so many pictures have been seen, and this strongly
PICTURES_OF_START, SCALE_OF_START = 12800, 0.01


@register('RegionLoss')
class RegionLoss(YoloLoss):
    """Version 2, on boxes of centres σ(x), σ(y) and anchors times exp(w), exp(h); σ(o) says whether there is an object.

    An object is learned by the anchor of its cell whose shape is most like its own (without `bias_match` the predicted
    one), the last of several that choose the same: d is coord_scale · (σ(x) − target) · σ'(x), coord_scale · (w −
    log(size / anchor)), object_scale · (σ(o) − iou) · σ'(o) with the overlap of what is predicted, and class_scale ·
    (p − [the class]), p the softmax. Without `rescore` iou is 1 and coord_scale is multiplied by 2 − area. Elsewhere d
    is noobject_scale · σ(o) · σ'(o), and 0 where the box overlaps an object by more than `thresh`. In the first 12800
    pictures all boxes are pulled to the middle of their cells and to the anchors, with 0.01 for coord_scale; each layer
    counts its own pictures, where the fork counts those of all its layers.

    `biases` are widths and heights of the anchors in cells. `side`, `softmax`, `jitter`, `absolute` and `random` have
    no effect, as there.
    """

    @property
    def loss_param(self) -> caffe_pb2.RegionLossParameter:
        return self.param.region_loss_param

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.loss_param
        if param.coords != 4:
            self.error(f'coords is {param.coords}, expected 4')
        if not param.num or len(param.biases) != 2 * param.num or min(param.biases) <= 0:
            self.error(f'has {len(param.biases)} biases, expected 2 above 0 for each of num {param.num} anchors')
        self.anchors, self.mask = np.array(param.biases).reshape(-1, 2), list(range(param.num))
        self._passes = 0

    def advance(self) -> None:
        self._passes += 1

    def activated(self, x: torch.Tensor) -> torch.Tensor:
        at, size, there, classes = x.split([2, 2, 1, x.shape[-1] - CLASSES], -1)
        return torch.cat([torch.sigmoid(at), size, torch.sigmoid(there), torch.softmax(classes, -1)], -1)

    def without_object(self, there: torch.Tensor) -> torch.Tensor:
        return self.loss_param.noobject_scale * there * there * (1 - there)

    def pull(self, p: torch.Tensor) -> torch.Tensor:
        if self._passes > PICTURES_OF_START // max(1, len(p)):
            return super().pull(p)
        at, size = p[..., :2], p[..., 2:OBJECT]
        return SCALE_OF_START * torch.cat([(at - 0.5) * at * (1 - at), size], -1)

    def learn(self, p: torch.Tensor, boxes: torch.Tensor, objects: Objects, sizes: np.ndarray) -> torch.Tensor | float:
        shapes = sizes
        if not self.loss_param.bias_match:
            anchors = np.arange(len(sizes))[:, None].repeat(len(objects.label), 1)
            shapes = boxes[objects.places(anchors, p.device)][..., 2:].movedim(0, 1).cpu().numpy()
        anchor = shape_overlap(objects.box[:, 2:], shapes).argmax(1)
        _, _, last = groups(objects.picture, anchor, objects.row, objects.column)
        objects, anchor = objects.of(last), anchor[last]
        place = objects.places(anchor, p.device)
        self._grad.index_put_(place, self._differences(p[place], boxes[place], objects, sizes[anchor], p.shape[2:4]))
        return 0.0

    def _differences(
        self, p: torch.Tensor, boxes: torch.Tensor, objects: Objects, sizes: np.ndarray, cells: Sequence[int]
    ) -> torch.Tensor:
        """d (T, 5 + K) of objects, from what their anchors of sizes (T, 2) say, p (T, 5 + K) and boxes (T, 4)."""
        param, true = self.loss_param, torch.from_numpy(objects.box).to(p)
        scale = param.coord_scale * (1 if param.rescore else 2 - true[:, 2:].prod(1, True))
        at, size = (p[:, :OBJECT] - targets(objects, sizes, cells, p)).mul(scale).chunk(2, 1)
        there = p[:, OBJECT]
        missed = there - (overlap(boxes, true) if param.rescore else 1)
        classes = p[:, CLASSES:] - one_hot(objects.label, p[:, CLASSES:])
        return torch.cat(
            [
                at * p[:, :2] * (1 - p[:, :2]),
                size,
                (param.object_scale * missed * there * (1 - there)).unsqueeze(1),
                param.class_scale * classes,
            ],
            1,
        )
