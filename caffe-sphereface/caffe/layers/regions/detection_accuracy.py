"""DetectionAccuracy: how well a map of a detector on several scales tells classes and boxes (MS-CNN)."""

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.data.boxes import paired_overlaps
from caffe.layers.regions.scale_map import ScaleMap
from caffe.layers.support.registry import register
from caffe.proto.caffe_pb2 import DetectionAccuracyParameter


@register('DetectionAccuracy')
class DetectionAccuracy(ScaleMap):
    """Tops (1, 1, 1, 2), the accuracy over all cells and over those of objects, and (1, 1, 1, 1), a mean overlap.

    Bottoms as of DetectionLoss. A cell counts unless it is of the background with an overlap of `bg_threshold` or more,
    and is right if its class is among the `top_k` of largest scores, of equal ones the last. The overlap is that of the
    box that a cell of an object codes with the true one, in units of their union. −1 stands where no cell counts.
    """

    tops = (1, 2)
    no_diff_bottoms = (0, 1)
    kept = ()
    reads_back = ()

    @property
    def settings(self) -> DetectionAccuracyParameter:
        """The layer's own parameter."""
        return self.param.detection_accuracy_param

    def own_problem(self) -> str | None:
        top, classes = self.settings.top_k, self.settings.cls_num
        return None if 1 <= top <= classes else f'top_k is {top}, expected 1 to {classes}'

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        for blob, values in zip(top, (2, 1)):
            blob.reshape(1, 1, 1, values)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        values, truth = (blob.tensor.float().cpu().numpy() for blob in bottom)
        labels = truth[:, 0].astype(int)
        found = [self._accuracies(values[:, :-4], labels, truth[:, 5]), [self._overlap(values[:, -4:], labels, truth)]]
        for blob, results in zip(top, found):
            blob.tensor = torch.tensor(results, dtype=torch.get_default_dtype(), device=self.device).reshape(blob.shape)

    def _accuracies(self, scores: np.ndarray, labels: np.ndarray, overlaps: np.ndarray) -> list[float]:
        param = self.settings
        classes = np.minimum(labels, 1) if param.objectness else labels
        counted = (classes != 0) | (overlaps < np.float32(param.bg_threshold))
        if self.ignored is not None:
            counted &= classes != self.ignored
        known = classes[counted]
        if len(known) and not 0 <= known.min() <= known.max() < param.cls_num:
            self.error(f'has labels from {known.min()} to {known.max()}, expected 0 to {param.cls_num - 1}')
        rows = np.moveaxis(scores, 1, -1)[counted]
        own = np.take_along_axis(rows, known[:, None], 1)
        behind = np.arange(param.cls_num) > known[:, None]
        right = ((rows > own) | (rows == own) & behind).sum(1) < param.top_k
        return [_mean(right), _mean(right[known != 0])]

    def _overlap(self, codes: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> float:
        height, width = labels.shape[1:]
        learned = self.objects(labels)
        found = []
        for code, box, cells in zip(codes, truth[:, 1:5], learned):
            chosen = cells.reshape(-1)
            corner, size = self.fields.boxes(self.scaling.undo(code.reshape(4, -1).T), height, width)
            middle, sides = np.split(box.reshape(4, -1).T, 2, 1)
            coded, true = (np.hstack([low, low + own]) for low, own in ((corner, size), (middle - sides / 2, sides)))
            found.append(paired_overlaps(coded[chosen], true[chosen]))
        return _mean(np.concatenate(found))


def _mean(values: np.ndarray) -> float:
    """The mean, −1 of nothing."""
    return float(values.mean()) if len(values) else -1.0
