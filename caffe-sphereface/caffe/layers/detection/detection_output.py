"""DetectionOutput: what an SSD detector found, as a list of boxes."""

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.detection.boxes import decode, suppressed
from caffe.layers.support.registry import Layer, register


@register('DetectionOutput')
class DetectionOutput(Layer):
    """Top (1, 1, D, 7): image, label, score, xmin, ymin, xmax, ymax, by greedy suppression for each class.

    Bottoms: locations (N, P · L · 4), scores (N, P · K), default boxes (1, 2, 4 · P); L is 1 with share_location, else
    K. Labels ascend, and scores descend within one. Where nothing is found in the whole batch, D is N with rows
    (image, −1, …). Boxes are not clipped; files and drawings that SSD's layer can write are not made.
    """

    bottoms = 3
    tops = 1
    no_diff_bottoms = (0, 1, 2)
    open_axes = (2,)
    kept = ()
    reads_back = ()
    no_capture = 'works on the host'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.detection_output_param
        if not param.num_classes:
            self.error('num_classes is missing, expected at least 1')
        if param.nms_param.nms_threshold < 0 or not 0 < param.nms_param.eta <= 1:
            self.error('nms_threshold is below 0 or eta not above 0 and at most 1')
        if param.share_location and param.background_label_id == -1:
            self.error('background_label_id is -1 with share_location, expected a label, or share_location: false')
        self.location_classes = 1 if param.share_location else param.num_classes

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        location, scores, prior = bottom
        if len(prior.shape) < 3 or prior.shape[1] != 2 or prior.shape[2] % 4:
            self.error(f'default boxes have shape {prior.shape}, expected (1, 2, 4 · boxes)')
        self.count = prior.shape[2] // 4
        for blob, size in (
            (location, self.count * self.location_classes * 4),
            (scores, self.count * self.param.detection_output_param.num_classes),
        ):
            if not blob.shape or blob.count != blob.shape[0] * size or blob.shape[0] != location.shape[0]:
                self.error(f"bottom '{blob.name}' has shape {blob.shape}, expected {size} values for each image")
        top[0].reshape(1, 1, 1, 7)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        location, scores, prior = (blob.tensor.cpu().numpy() for blob in bottom)
        boxes, variances = prior.reshape(-1)[: 8 * self.count].reshape(2, self.count, 4)
        param = self.param.detection_output_param
        if param.variance_encoded_in_target:
            variances = np.ones_like(variances)
        code = location.reshape(len(location), self.count, self.location_classes, 4).transpose(0, 2, 1, 3)
        decoded = decode(code, boxes, variances, param.code_type)
        scores = scores.reshape(len(scores), self.count, -1).transpose(0, 2, 1)
        rows = [row for i in range(len(scores)) for row in self._found(i, decoded[i], scores[i])]
        if not rows:
            rows = [(i, *[-1.0] * 6) for i in range(len(scores))]
        top[0].reshape(1, 1, len(rows), 7)
        values = torch.tensor(np.array(rows, np.float64).reshape(1, 1, -1, 7), dtype=torch.get_default_dtype())
        top[0].tensor = values.to(self.device)

    def _found(self, image: int, boxes: np.ndarray, scores: np.ndarray) -> list[tuple[float, ...]]:
        """The rows of one image from boxes (L, P, 4) and scores (K, P)."""
        param, found = self.param.detection_output_param, []
        for label, of_class in enumerate(scores):
            if label != param.background_label_id:
                own = boxes[0 if param.share_location else label]
                found += [(label, of_class[i], own[i]) for i in self._kept(own, of_class)]
        if -1 < param.keep_top_k < len(found):
            best = sorted(found, key=lambda one: -one[1])[: param.keep_top_k]
            found = sorted(best, key=lambda one: one[0])
        return [(image, label, score, *box) for label, score, box in found]

    def _kept(self, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Indices of the boxes (P, 4) of one class that remain, best first."""
        param = self.param.detection_output_param
        least = param.confidence_threshold if param.HasField('confidence_threshold') else -np.inf
        candidates = np.flatnonzero(scores > least)
        order = candidates[np.argsort(-scores[candidates], kind='stable')]
        if param.nms_param.top_k > 0:
            order = order[: param.nms_param.top_k]
        return order[suppressed(boxes[order], param.nms_param.nms_threshold, param.nms_param.eta)]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for i in range(len(bottom)):
            self.refuse_gradient(propagate_down, i, 'what is sorted and suppressed')
