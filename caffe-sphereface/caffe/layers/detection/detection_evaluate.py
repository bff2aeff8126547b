"""DetectionEvaluate: which detections of an SSD detector are right, for the average precision of a test."""

from pathlib import Path

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.errors import CaffeError
from caffe.layers.support.registry import Layer, register
from caffe.proto.files import read_bytes


@register('DetectionEvaluate')
class DetectionEvaluate(Layer):
    """Top (1, 1, R, 5): for each class but the background (−1, label, true boxes, −1, −1), then the detections.

    Bottoms: detections (1, 1, D, 7) of DetectionOutput and true boxes (1, 1, G, 8) of AnnotatedData. The row of a
    detection is (image, label, score, right, wrong): by descending score, it is right if the true box of its image and
    label that it overlaps most is overlapped by `overlap_threshold` or more and is not taken yet; of a difficult one,
    unless evaluate_difficult_gt, it is neither. Overlaps are intersection over union, of the boxes as they are or, with
    a `name_size_file` (lines "NAME HEIGHT WIDTH", in the order of the pictures), of boxes in pixels, ends included.
    """

    bottoms = 2
    tops = 1
    no_diff_bottoms = (0, 1)
    kept = ()
    reads_back = ()
    no_capture = 'works on the host'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.detection_evaluate_param
        if not param.num_classes:
            self.error('num_classes is missing, expected at least 1')
        if param.HasField('resize_param'):
            self.error(
                'resize_param of detection_evaluate_param is not implemented, expected pictures stretched to size'
            )
        self.sizes = _read_sizes(param.name_size_file) if param.name_size_file else None
        self.pictures = 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob, width in zip(bottom, (7, 8)):
            if not blob.shape or blob.shape[-1] != width:
                self.error(f"bottom '{blob.name}' has shape {blob.shape}, expected rows of {width} values")
        top[0].reshape(1, 1, 1, 5)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        found, truth = (blob.tensor.cpu().numpy().reshape(-1, blob.shape[-1]) for blob in bottom)
        found, truth = found[found[:, 0] >= 0], truth[truth[:, 0] >= 0]
        param = self.param.detection_evaluate_param
        counted = truth if param.evaluate_difficult_gt else truth[truth[:, 7] == 0]
        classes = [label for label in range(param.num_classes) if label != param.background_label_id]
        rows = [(-1, label, (counted[:, 1] == label).sum(), -1, -1) for label in classes]
        for image in np.unique(found[:, 0]):
            rows += self._judged(found[found[:, 0] == image], truth[truth[:, 0] == image], self._size())
        top[0].reshape(1, 1, len(rows), 5)
        top[0].tensor = torch.tensor(rows, dtype=torch.float32, device=self.device).reshape(top[0].shape)

    def _size(self) -> tuple[int, int] | None:
        """(height, width) of the next picture, None where boxes are compared as they are."""
        if self.sizes is None:
            return None
        size = self.sizes[self.pictures % len(self.sizes)]
        self.pictures += 1
        return size

    def _judged(self, found: np.ndarray, truth: np.ndarray, size: tuple[int, int] | None) -> list[tuple]:
        """The rows of one image's detections."""
        rows = []
        for label in np.unique(found[:, 1]):
            if label < 0:  # the row that says that nothing was found
                continue
            chosen = found[found[:, 1] == label]
            chosen = chosen[np.argsort(-chosen[:, 2], kind='stable')]
            true = truth[truth[:, 1] == label]
            verdicts = self._verdicts(_overlaps(chosen[:, 3:7], true[:, 3:7], size), true[:, 7] != 0)
            rows += [(row[0], label, row[2], *verdict) for row, verdict in zip(chosen, verdicts)]
        return rows

    def _verdicts(self, overlaps: np.ndarray, difficult: np.ndarray) -> list[tuple[int, int]]:
        """(right, wrong) of each detection, from overlaps (detections, true boxes)."""
        param = self.param.detection_evaluate_param
        taken, verdicts = set(), []
        for row in overlaps:
            best = int(row.argmax()) if len(row) else -1
            if best < 0 or row[best] < param.overlap_threshold:
                verdicts.append((0, 1))
            elif difficult[best] and not param.evaluate_difficult_gt:
                verdicts.append((0, 0))
            else:
                verdicts.append((0, 1) if best in taken else (1, 0))
                taken.add(best)
        return verdicts


def _overlaps(a: np.ndarray, b: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Intersection over union (M, N) of boxes (M, 4) and (N, 4), in pixels where a picture's `size` is given."""
    extra = 0
    if size is not None:
        height, width = size
        a, b = (boxes.clip(0, 1) * (width, height, width, height) for boxes in (a, b))
        extra = 1
    low, high = (np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:]))
    common = np.prod(high - low + extra, -1) * (high >= low).all(-1)
    areas = [
        np.prod(boxes[:, 2:] - boxes[:, :2] + extra, -1) * (boxes[:, 2:] >= boxes[:, :2]).all(-1) for boxes in (a, b)
    ]
    union = areas[0][:, None] + areas[1][None] - common
    return np.divide(common, union, out=np.zeros_like(common), where=common > 0)


def _read_sizes(path: str | Path) -> list[tuple[int, int]]:
    """[(height, width)] of a file with lines "NAME HEIGHT WIDTH"."""
    sizes = []
    for number, line in enumerate(read_bytes(path).decode('utf-8', 'surrogateescape').splitlines(), 1):
        *name, height, width = line.split() or ['']
        if not name or not (height.isdigit() and width.isdigit()):
            raise CaffeError(f'{path}:{number}: "{line[:60]}", expected a name, a height and a width')
        sizes.append((int(height), int(width)))
    if not sizes:
        raise CaffeError(f'{path}: is empty, expected a line with name, height and width for each picture')
    return sizes
