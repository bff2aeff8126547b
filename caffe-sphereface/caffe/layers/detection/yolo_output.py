"""What YOLO detectors found, as a list of boxes: version 2 (Redmon and Farhadi 2017) and version 3 (2018).

As MobileNet-YOLO's code gives them, but for a batch: there all images count as the first.
"""

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.detection.boxes import suppressed
from caffe.layers.support.registry import BlobCount, Layer, register
from caffe.proto import caffe_pb2

# boxes (M, 4) as corners in parts of the picture, scores (M,), classes (M,)
Found = tuple[np.ndarray, np.ndarray, np.ndarray]


class _YoloOutput(Layer):
    """Top (1, 1, D, 7): image, class + 1, score, xmin, ymin, xmax, ymax, in parts of the picture, best first.

    Bottoms are maps (N, A · (5 + K), H, W): for each of A anchors x, y, w, h, whether there is an object, K classes.
    The centre is (column + σ(x)) / W, (row + σ(y)) / H, the size exp(w) and exp(h) times the anchor's. What overlaps a
    better box of any class by `nms_threshold` or more is left out. Where nothing is found in the whole batch, there is
    a row (image, −1, …) for each image. Boxes are not clipped.
    """

    bottoms: BlobCount = (1, None)
    tops = 1
    open_axes = (2,)
    kept = ()
    reads_back = ()
    # numbers in front of those of the classes
    box_values = 5

    @property
    def output_param(self) -> caffe_pb2.YoloDetectionOutputParameter | caffe_pb2.Yolov3DetectionOutputParameter:
        """The layer's parameter message."""
        raise NotImplementedError

    def anchors(self, index: int, shape: tuple[int, ...]) -> np.ndarray:
        """Width and height (A, 2), in parts of the picture, of the anchors of the map `index`, which has `shape`."""
        raise NotImplementedError

    def found(self, boxes: np.ndarray, objects: np.ndarray, classes: np.ndarray) -> Found:
        """Which of boxes (P, 4) with P objectnesses and classes (P, K), as the net gives these, are candidates."""
        raise NotImplementedError

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.output_param
        channels = param.num_box * (self.box_values + param.num_classes)
        for blob in bottom:
            if len(blob.shape) != 4 or blob.shape[1] != channels or blob.shape[0] != bottom[0].shape[0]:
                self.error(
                    f"bottom '{blob.name}' has shape {blob.shape}, expected (num, {channels}, height, width): "
                    f'{param.num_box} anchors with 5 values and {param.num_classes} classes'
                )
        top[0].reshape(1, 1, 1, 7)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        maps = [blob.tensor.cpu().numpy() for blob in bottom]
        images = range(bottom[0].shape[0])
        rows = [row for image in images for row in self._rows(image, [values[image] for values in maps])]
        if not rows:
            rows = [(image, *[-1.0] * 6) for image in images]
        top[0].reshape(1, 1, len(rows), 7)
        values = torch.tensor(np.array(rows, np.float64).reshape(1, 1, -1, 7), dtype=torch.get_default_dtype())
        top[0].tensor = values.to(self.device)

    def _rows(self, image: int, maps: list[np.ndarray]) -> list[tuple[float, ...]]:
        """The rows of one image from its maps (A · (5 + K), H, W)."""
        parts = [self._candidates(values, self.anchors(i, values.shape)) for i, values in enumerate(maps)]
        boxes, scores, classes = (np.concatenate(part) for part in zip(*parts))
        order = np.argsort(-scores, kind='stable')
        # suppressed() keeps what overlaps by as much as the threshold
        threshold = np.nextafter(np.float32(self.output_param.nms_threshold), np.float32(-1))
        kept = order[suppressed(boxes[order], float(threshold))]
        return [(image, classes[i] + 1, scores[i], *boxes[i]) for i in kept]

    def _candidates(self, values: np.ndarray, anchors: np.ndarray) -> Found:
        _, height, width = values.shape
        x, y, w, h, objects, *classes = values.reshape(len(anchors), -1, height, width).swapaxes(0, 1)
        centre_x = (np.arange(width, dtype=values.dtype) + _sigmoid(x)) / width
        centre_y = (np.arange(height, dtype=values.dtype)[:, None] + _sigmoid(y)) / height
        half_w, half_h = (np.exp(v) * anchors[:, i, None, None] / 2 for i, v in enumerate((w, h)))
        boxes = np.stack([centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h], -1)
        return self.found(
            boxes.reshape(-1, 4), _sigmoid(objects).ravel(), np.stack(classes, -1).reshape(objects.size, -1)
        )

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for i in range(len(bottom)):
            self.refuse_gradient(propagate_down, i, 'what is sorted and suppressed')


@register('YoloDetectionOutput')
class YoloDetectionOutput(_YoloOutput):
    """Version 2: one candidate for each anchor, of the class whose softmax is largest, times σ(object).

    `biases` are the anchors' widths and heights in cells of the map, the same for all bottoms.
    """

    bottoms = (1, 2)

    @property
    def output_param(self) -> caffe_pb2.YoloDetectionOutputParameter:
        return self.param.yolo_detection_output_param

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.output_param
        if param.coords != 4:
            self.error(f'coords is {param.coords}, expected 4')
        if len(param.biases) != 2 * param.num_box or not param.num_classes:
            self.error(
                f'has {len(param.biases)} biases and {param.num_classes} classes, expected 2 for each of num_box '
                f'{param.num_box} and at least one class'
            )

    def anchors(self, index: int, shape: tuple[int, ...]) -> np.ndarray:
        return np.array(self.output_param.biases, 'f').reshape(-1, 2) / np.array([shape[2], shape[1]], 'f')

    def found(self, boxes: np.ndarray, objects: np.ndarray, classes: np.ndarray) -> Found:
        powers = np.exp(classes - classes.max(1, keepdims=True))
        scores = powers.max(1) / powers.sum(1) * objects
        likely = scores >= self.output_param.confidence_threshold
        return boxes[likely], scores[likely], classes.argmax(1)[likely]


@register('Yolov3DetectionOutput')
class Yolov3DetectionOutput(_YoloOutput):
    """Version 3: a candidate for each anchor and class, with σ(class) · σ(object) as its score.

    `biases` are widths and heights of all anchors in pixels, `mask` the anchors of one bottom after the other, and
    `anchors_scale` the pixels of a cell of each bottom.
    """

    @property
    def output_param(self) -> caffe_pb2.Yolov3DetectionOutputParameter:
        return self.param.yolov3_detection_output_param

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.output_param
        if param.mask_group_num != len(bottom) or len(param.anchors_scale) != len(bottom):
            self.error(
                f'has {len(bottom)} bottoms, mask_group_num {param.mask_group_num} and {len(param.anchors_scale)} '
                'anchors_scale, expected as many of each'
            )
        if len(param.mask) != param.num_box * len(bottom):
            self.error(f'has {len(param.mask)} mask, expected num_box {param.num_box} for each bottom')
        if len(param.biases) % 2 or max(param.mask, default=0) >= len(param.biases) // 2 or not param.num_classes:
            self.error(
                f'has {len(param.biases)} biases, mask {max(param.mask, default=0)} and {param.num_classes} classes, '
                'expected two biases for each anchor and at least one class'
            )

    def anchors(self, index: int, shape: tuple[int, ...]) -> np.ndarray:
        param = self.output_param
        mask = list(param.mask[index * param.num_box : (index + 1) * param.num_box])
        size = np.array([shape[2], shape[1]], 'f') * param.anchors_scale[index]
        return np.array(param.biases, 'f').reshape(-1, 2)[mask] / size

    def found(self, boxes: np.ndarray, objects: np.ndarray, classes: np.ndarray) -> Found:
        scores = _sigmoid(classes) * objects[:, None]
        places, kinds = np.nonzero(scores > self.output_param.confidence_threshold)
        return boxes[places], scores[places, kinds], kinds


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
