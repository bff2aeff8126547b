"""What YOLO detectors learn from: version 2 (Redmon and Farhadi 2017) and version 3 (2018), as MobileNet-YOLO has them.

Both print a sum of squares and learn from something else: each value has a difference d, the loss is Σ d² / N over N
pictures, and the gradient is d / N, without the 2 and mostly without the slope of the activation. Boxes are
(x, y, w, h), the centre and the size, in parts of the picture; maps have a cell for each of their pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2

# of an anchor: x, y, w, h, whether there is an object, then its classes
_OBJECT, _CLASSES = 4, 5
_LABEL_LENGTH = 5
# version 2 pulls all boxes towards their anchors until it has seen so many pictures, and this strongly
PICTURES_OF_START, SCALE_OF_START = 12800, 0.01


@dataclass
class Objects:
    """Objects of a batch: the picture, class, row and column (T) of each, and its box (T, 4)."""

    picture: np.ndarray
    label: np.ndarray
    row: np.ndarray
    column: np.ndarray
    box: np.ndarray

    def of(self, chosen: np.ndarray) -> 'Objects':
        """Those that a mask or indices choose."""
        return Objects(*(values[chosen] for values in vars(self).values()))

    def places(self, anchor: np.ndarray, device: torch.device) -> tuple[torch.Tensor, ...]:
        """The index of the anchors (…, T) in the objects' cells, in maps (N, A, H, W, 5 + K)."""
        indices = np.broadcast_arrays(self.picture, anchor, self.row, self.column)
        return tuple(torch.from_numpy(index.copy()).to(device) for index in indices)


class _YoloLoss(Layer):
    """Bottoms: maps (N, A · (5 + K), H, W) of A anchors and K classes, and objects (N, 1, R, 5); top: the loss.

    An object is a row (class, x, y, w, h); the rows of a picture end at the first whose w is 0. `AnnotatedData` gives
    them with `yolo_data_type: 1`.
    """

    bottoms = 2
    tops = 1
    loss = True
    auto_top = True
    no_diff_bottoms = (1,)
    kept = ('_grad',)
    reads_back = ()
    no_capture = 'matches boxes on the host'
    # sizes (B, 2) of all anchors in cells, and which of them the maps have
    anchors: np.ndarray
    mask: list[int]
    # the values whose squares make the loss
    squared = slice(0, None)

    @property
    def loss_param(self) -> caffe_pb2.RegionLossParameter | caffe_pb2.Yolov3Parameter:
        """The layer's parameter message."""
        raise NotImplementedError

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, (maps, labels) = self.loss_param, bottom
        channels = param.num * (_CLASSES + param.num_class)
        if len(maps.shape) != 4 or maps.shape[1] != channels:
            self.error(
                f"bottom '{maps.name}' has shape {maps.shape}, expected (num, {channels}, height, width): "
                f'num {param.num} anchors with 5 values and num_class {param.num_class} classes'
            )
        if labels.shape[:1] != maps.shape[:1] or labels.shape[-1] != _LABEL_LENGTH:
            self.error(
                f"bottom '{labels.name}' has shape {labels.shape}, expected ({maps.shape[0]}, 1, objects, 5): "
                'class, x, y, width and height of each (AnnotatedData gives them with yolo_data_type: 1)'
            )
        top[0].reshape()

    def cells(self, maps: Blob) -> torch.Tensor:
        """The maps as (N, A, H, W, 5 + K)."""
        images, _, height, width = maps.shape
        return maps.tensor.reshape(images, len(self.mask), -1, height, width).movedim(2, -1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        images, _, height, width = bottom[0].shape
        p, sizes = self.activated(self.cells(bottom[0])), self.anchors / [width, height]
        objects = self._objects(bottom[1].tensor.cpu().numpy().reshape(images, -1, _LABEL_LENGTH), height, width)
        boxes = _boxes(p, sizes[self.mask])
        absent = self.without_object(p[..., _OBJECT]) * ~self._found(boxes, objects)
        self._grad = torch.cat([self.pull(p), absent.unsqueeze(-1), torch.zeros_like(p[..., _CLASSES:])], -1)
        missed = self.learn(p, boxes, objects, sizes) if len(objects.label) else 0.0
        top[0].tensor = (self._grad[..., self.squared].square().sum() + missed) / images

    def activated(self, x: torch.Tensor) -> torch.Tensor:
        """What maps (N, A, H, W, 5 + K) say: x and y in cells, w and h as powers of e, the others as likelihoods."""
        raise NotImplementedError

    def without_object(self, there: torch.Tensor) -> torch.Tensor:
        """The differences where the likelihoods (N, A, H, W) of objects should be 0."""
        raise NotImplementedError

    def pull(self, p: torch.Tensor) -> torch.Tensor:
        """The differences (N, A, H, W, 4) of boxes without an object."""
        return torch.zeros_like(p[..., :_OBJECT])

    def learn(self, p: torch.Tensor, boxes: torch.Tensor, objects: Objects, sizes: np.ndarray) -> torch.Tensor | float:
        """Put the differences of objects into `_grad`, and return what the loss has besides squares.

        `p` is what the maps say, `boxes` (N, A, H, W, 4) in the picture, `sizes` (B, 2) those of all anchors.
        """
        raise NotImplementedError

    def _objects(self, labels: np.ndarray, height: int, width: int) -> Objects:
        """The objects in rows (N, R, 5) of labels, for maps of that size."""
        stated = (labels[..., 3] != 0).cumprod(1).astype(bool)
        label, box = labels[stated][:, 0].astype(int), labels[stated][:, 1:]
        if len(label) and not 0 <= label.min() <= label.max() < self.loss_param.num_class:
            self.error(
                f'has classes from {label.min()} to {label.max()}, expected 0 to {self.loss_param.num_class - 1}'
            )
        outside = box[~((box[:, :2] >= 0) & (box[:, :2] < 1) & (box[:, 2:] > 0)).all(1)]
        if len(outside):
            self.error(
                f'has an object (x, y, w, h) {tuple(outside[0].round(4).tolist())}, expected x and y from 0 to below 1 '
                'and w and h above 0, in parts of the picture'
            )
        column, row = (box[:, :2] * [width, height]).astype(int).T
        return Objects(stated.nonzero()[0], label, row, column, box)

    def _found(self, boxes: torch.Tensor, objects: Objects) -> torch.Tensor:
        """Which of the boxes (N, A, H, W, 4) overlap an object of their picture by more than `thresh`."""
        own = (torch.from_numpy(objects.box[objects.picture == index]).to(boxes) for index in range(len(boxes)))
        overlaps = (overlap(one.unsqueeze(-2), true) for one, true in zip(boxes, own))
        return torch.stack([(values > self.loss_param.thresh).any(-1) for values in overlaps])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'objects')
        if propagate_down[0]:
            grad = self._grad.movedim(-1, 2) * (top[0].grad / bottom[0].shape[0])
            bottom[0].grad = grad.reshape(bottom[0].shape)


@register('RegionLoss')
class RegionLoss(_YoloLoss):
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
        at, size, there, classes = x.split([2, 2, 1, x.shape[-1] - _CLASSES], -1)
        return torch.cat([torch.sigmoid(at), size, torch.sigmoid(there), torch.softmax(classes, -1)], -1)

    def without_object(self, there: torch.Tensor) -> torch.Tensor:
        return self.loss_param.noobject_scale * there * there * (1 - there)

    def pull(self, p: torch.Tensor) -> torch.Tensor:
        if self._passes > PICTURES_OF_START // max(1, len(p)):
            return super().pull(p)
        at, size = p[..., :2], p[..., 2:_OBJECT]
        return SCALE_OF_START * torch.cat([(at - 0.5) * at * (1 - at), size], -1)

    def learn(self, p: torch.Tensor, boxes: torch.Tensor, objects: Objects, sizes: np.ndarray) -> torch.Tensor | float:
        shapes = sizes
        if not self.loss_param.bias_match:
            anchors = np.arange(len(sizes))[:, None].repeat(len(objects.label), 1)
            shapes = boxes[objects.places(anchors, p.device)][..., 2:].movedim(0, 1).cpu().numpy()
        anchor = _shape_overlap(objects.box[:, 2:], shapes).argmax(1)
        _, _, last = _groups(objects.picture, anchor, objects.row, objects.column)
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
        at, size = (p[:, :_OBJECT] - _targets(objects, sizes, cells, p)).mul(scale).chunk(2, 1)
        there = p[:, _OBJECT]
        missed = there - (overlap(boxes, true) if param.rescore else 1)
        classes = p[:, _CLASSES:] - _one_hot(objects.label, p[:, _CLASSES:])
        return torch.cat(
            [
                at * p[:, :2] * (1 - p[:, :2]),
                size,
                (param.object_scale * missed * there * (1 - there)).unsqueeze(1),
                param.class_scale * classes,
            ],
            1,
        )


@register('Yolov3')
class Yolov3(_YoloLoss):
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
        self.squared = slice(0 if param.iou_loss == param.MSE else _OBJECT, None)

    def activated(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.sigmoid(x[..., :2]), x[..., 2:_OBJECT], torch.sigmoid(x[..., _OBJECT:])], -1)

    def without_object(self, there: torch.Tensor) -> torch.Tensor:
        return there

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().forward(bottom, top)
        if self.loss_param.use_logic_gradient:
            x = self.cells(bottom[0])
            at = x[..., :2] if self.loss_param.iou_loss != self.loss_param.MSE else torch.sigmoid(x[..., :2])
            rest = torch.sigmoid(x[..., _OBJECT:])
            self._grad *= torch.cat([at * (1 - at), torch.ones_like(x[..., 2:_OBJECT]), rest * (1 - rest)], -1)

    def learn(self, p: torch.Tensor, boxes: torch.Tensor, objects: Objects, sizes: np.ndarray) -> torch.Tensor | float:
        param = self.loss_param
        best = _shape_overlap(objects.box[:, 2:], sizes).argmax(1)
        learned = np.isin(best, self.mask)
        if not learned.any():
            return 0.0
        objects, best = objects.of(learned), best[learned]
        anchor = np.array([self.mask.index(index) for index in best], int)
        group, first, last = _groups(objects.picture, anchor, objects.row, objects.column)
        final, place = objects.of(last), objects.of(last).places(anchor[last], p.device)
        own = p[place]
        there = (own[:, _OBJECT, None] - 1) * (param.object_scale if param.use_logic_gradient else 1)
        at = self._box_differences(own, boxes[place], final, sizes[best[last]], p.shape[2:4])
        classes = self._class_differences(own[:, _CLASSES:], objects.label, group, first)
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
            return scale * (p[:, :_OBJECT] - _targets(objects, sizes, cells, p))
        low, high = overlap_slopes(boxes, true, param.iou_loss == param.GIOU)
        return -param.iou_normalizer * torch.cat([low + high, (high - low) / 2 * p[:, 2:_OBJECT].exp()], 1)

    def _class_differences(
        self, p: torch.Tensor, labels: np.ndarray, group: np.ndarray, first: np.ndarray
    ) -> torch.Tensor:
        """d (G, K) of likelihoods p (G, K), in cells where objects of classes (T) are; `first` (G) come first there."""
        param, wanted = self.loss_param, _one_hot(labels[first], p)
        difference = param.class_scale * (p - wanted)
        if param.use_focal_loss:
            own = (p * wanted).sum(1, True) + 1e-15
            difference *= -(1 - own) * (2 * own * own.log() + own - 1) / 2
        again = np.zeros(p.shape, bool)
        others = np.setdiff1d(np.arange(len(labels)), first)
        again[group[others], labels[others]] = True
        return torch.where(torch.from_numpy(again).to(p.device), p - 1, difference)


def _boxes(p: torch.Tensor, sizes: np.ndarray) -> torch.Tensor:
    """The boxes (N, A, H, W, 4) that maps (N, A, H, W, 5 + K) of anchors of sizes (A, 2) mean."""
    height, width = p.shape[2:4]
    cells = torch.tensor([width, height]).to(p)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    corners = torch.stack([columns, rows], -1).to(p)
    anchors = torch.from_numpy(sizes).to(p)[:, None, None]
    return torch.cat([(corners + p[..., :2]) / cells, p[..., 2:_OBJECT].exp() * anchors], -1)


def _targets(objects: Objects, sizes: np.ndarray, cells: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """The x, y, w and h (T, 4) that objects want of anchors of sizes (T, 2), in maps of `cells` (height, width)."""
    corner = np.stack([objects.column, objects.row], 1)
    centre = objects.box[:, :2] * [cells[1], cells[0]] - corner
    return torch.from_numpy(np.concatenate([centre, np.log(objects.box[:, 2:] / sizes)], 1)).to(like)


def _one_hot(labels: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """1 for the class and 0 for the others of each of labels (T), in the shape of `like` (T, K)."""
    return torch.from_numpy(np.eye(like.shape[1])[labels]).to(like)


def _shape_overlap(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Intersection over union (T, A) of boxes of sizes (T, 2) and anchors (A, 2) or (T, A, 2) about one centre."""
    common = np.minimum(sizes[:, None], anchors).prod(-1)
    return common / (sizes.prod(-1)[:, None] + anchors.prod(-1) - common)


def _groups(*keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(the group (T) of each item, the first and the last item (G) of each group), by the items' keys (T)."""
    _, first, group = np.unique(np.stack(keys, 1), axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    last = np.zeros_like(first)
    np.maximum.at(last, group, np.arange(len(group)))
    return group, first, last


def _ends(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The left and upper ends (…, 2) of boxes (…, 4), and the right and lower ones."""
    half = boxes[..., 2:] / 2
    return boxes[..., :2] - half, boxes[..., :2] + half


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes (…, 4)."""
    (low, high), (other_low, other_high) = _ends(a), _ends(b)
    common = (torch.minimum(high, other_high) - torch.maximum(low, other_low)).clamp(min=0).prod(-1)
    return common / (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - common)


def general_overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The generalized overlap of boxes (…, 4) (Rezatofighi et al. 2019): I / U − 1 + U / C.

    I is the intersection, U the union and C the smallest box around both.
    """
    (low, high), (other_low, other_high) = _ends(a), _ends(b)
    around = (torch.maximum(high, other_high) - torch.minimum(low, other_low)).prod(-1)
    shared = overlap(a, b)
    union = (a[..., 2:].prod(-1) + b[..., 2:].prod(-1)) / (1 + shared)
    return shared - 1 + union / around


def overlap_slopes(boxes: torch.Tensor, true: torch.Tensor, general: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """How the overlap of boxes (T, 4) with `true` (T, 4) changes with their low ends (T, 2) and high ends (T, 2).

    With `general` that of the generalized overlap. Where boxes lie apart, the fork goes on with the product of their
    distances for the intersection, and leaves the overlap out where that makes the union negative.
    """
    (low, high), (true_low, true_high) = _ends(boxes), _ends(true)
    inner = torch.minimum(high, true_high) - torch.maximum(low, true_low)
    outer = torch.maximum(high, true_high) - torch.minimum(low, true_low)
    common, around = inner.prod(-1, True), outer.prod(-1, True)
    union = boxes[:, 2:].prod(-1, True) + true[:, 2:].prod(-1, True) - common
    slopes = []
    for sign, is_inner, is_outer in ((-1, low > true_low, low < true_low), (1, high < true_high, high > true_high)):
        # an end moves an area by the extent of the other axis
        of_common = sign * inner.flip(-1) * is_inner
        of_union = sign * boxes[:, 2:].flip(-1) - of_common
        of_around = sign * outer.flip(-1) * is_outer
        slope = ((union * of_common - common * of_union) / union.square()).where(union > 0, 0)
        slopes.append(slope + (around * of_union - union * of_around) / around.square() if general else slope)
    return slopes[0], slopes[1]
