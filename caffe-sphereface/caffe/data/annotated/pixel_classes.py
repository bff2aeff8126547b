"""Labels of pixels beside the boxes of a picture (MobileNet-YOLO's BBOXandSeg), as a map for each class."""

from collections.abc import Sequence

import cv2
import numpy as np

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.files import read_text_message

_THRESHOLD = 100  # of the grey values of a single class, after resizing


class PixelClasses:
    """Maps (C, height, width) from 0 to 1 of the labels (H, W) of a picture's pixels.

    With `single_class` it is one map, 1 where the resized labels are above 100. Otherwise the items of the label map
    stand for the labels in their order, and each `label_id` from 1 on has a map of how much of each pixel it covers.
    The maps are a `seg_scales`-th of the picture, or of `seg_resize_height` and `seg_resize_width`.
    """

    def __init__(self, param: caffe_pb2.AnnotatedDataParameter) -> None:
        self.size = param.seg_resize_height, param.seg_resize_width
        if not all(self.size) and param.seg_scales < 1:
            raise CaffeError(f'seg_scales is {param.seg_scales}, expected at least 1')
        self.scale = param.seg_scales
        self._tables = None if param.single_class else _tables(param.label_map_file)
        self.count = 1 if self._tables is None else len(self._tables)

    def shape(self, height: int, width: int) -> tuple[int, int, int]:
        """(C, height, width) of the maps of a picture of that size."""
        rows, columns = self.size if all(self.size) else (height // self.scale, width // self.scale)
        return self.count, max(1, rows), max(1, columns)

    def __call__(self, labels: np.ndarray, height: int, width: int) -> np.ndarray:
        """The maps of labels (H, W) of uint8, as float32, for a picture that becomes of that size."""
        _, rows, columns = self.shape(height, width)
        if self._tables is None:
            return (cv2.resize(labels, (columns, rows))[None] > _THRESHOLD).astype(np.float32)
        resized = (cv2.resize(table[labels], (columns, rows), interpolation=cv2.INTER_AREA) for table in self._tables)
        return np.stack(list(resized)).astype(np.float32) / 255


def _tables(path: str) -> Sequence[np.ndarray]:
    """For each label_id of a label map, from 1 on, 255 (256) at the labels that it stands for."""
    items = read_text_message(path, caffe_pb2.YoloSegLabel()).item
    ids = np.array([item.label_id for item in items][:256])
    if not len(ids) or ids.max() < 1:
        raise CaffeError(f'{path}: has no item with a label_id above 0, expected those of the classes')
    padded = np.concatenate([ids, np.zeros(256 - len(ids), int)])
    return [np.where(padded == index, 255, 0).astype(np.uint8) for index in range(1, ids.max() + 1)]


def decode_labels(datum: caffe_pb2.Datum) -> np.ndarray:
    """The labels (H, W) of a picture's pixels, the grey values of an encoded picture; CaffeError without them."""
    labels = cv2.imdecode(np.frombuffer(datum.seg_label, np.uint8), cv2.IMREAD_GRAYSCALE) if datum.seg_label else None
    if labels is None:
        raise CaffeError('has no encoded seg_label, expected labels of pixels for the third top')
    return labels
