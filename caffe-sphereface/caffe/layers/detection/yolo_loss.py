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
from caffe.layers.detection.yolo_overlap import overlap
from caffe.layers.support.registry import Layer
from caffe.proto import caffe_pb2

# of an anchor: x, y, w, h, whether there is an object, then its classes
OBJECT, CLASSES = 4, 5
_LABEL_LENGTH = 5


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


class YoloLoss(Layer):
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
        channels = param.num * (CLASSES + param.num_class)
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
        absent = self.without_object(p[..., OBJECT]) * ~self._found(boxes, objects)
        self._grad = torch.cat([self.pull(p), absent.unsqueeze(-1), torch.zeros_like(p[..., CLASSES:])], -1)
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
        return torch.zeros_like(p[..., :OBJECT])

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


def _boxes(p: torch.Tensor, sizes: np.ndarray) -> torch.Tensor:
    """The boxes (N, A, H, W, 4) that maps (N, A, H, W, 5 + K) of anchors of sizes (A, 2) mean."""
    height, width = p.shape[2:4]
    cells = torch.tensor([width, height]).to(p)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    corners = torch.stack([columns, rows], -1).to(p)
    anchors = torch.from_numpy(sizes).to(p)[:, None, None]
    return torch.cat([(corners + p[..., :2]) / cells, p[..., 2:OBJECT].exp() * anchors], -1)


def targets(objects: Objects, sizes: np.ndarray, cells: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """The x, y, w and h (T, 4) that objects want of anchors of sizes (T, 2), in maps of `cells` (height, width)."""
    corner = np.stack([objects.column, objects.row], 1)
    centre = objects.box[:, :2] * [cells[1], cells[0]] - corner
    return torch.from_numpy(np.concatenate([centre, np.log(objects.box[:, 2:] / sizes)], 1)).to(like)


def one_hot(labels: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """1 for the class and 0 for the others of each of labels (T), in the shape of `like` (T, K)."""
    return torch.from_numpy(np.eye(like.shape[1])[labels]).to(like)


def groups(*keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(the group (T) of each item, the first and the last item (G) of each group), by the items' keys (T)."""
    _, first, group = np.unique(np.stack(keys, 1), axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    last = np.zeros_like(first)
    np.maximum.at(last, group, np.arange(len(group)))
    return group, first, last
