"""AnnotatedData: pictures with boxes of objects, which detectors learn from and are tested on."""

from collections.abc import Callable
from math import prod

import numpy as np
import torch

from caffe import log
from caffe.blobs.blob import Blob
from caffe.data.annotated.annotations import (
    CORNERS,
    ROW_LENGTH,
    WHOLE,
    inside,
    mirrored,
    parse_annotated,
    picture_of,
    rows_of,
)
from caffe.data.annotated.box_sampling import check_samplers, jittered_window, sampled_window
from caffe.data.annotated.pixel_classes import PixelClasses, decode_labels
from caffe.data.augmentation import Draw, Transformer, picture_generator
from caffe.data.boxes import split
from caffe.data.db import open_reader
from caffe.data.distortion import check_distortion, distorted, expanded
from caffe.data.feed import Feed, forced_color, make_transformer, own_generator
from caffe.data.prefetch.batch import Label, NewRow
from caffe.errors import CaffeError
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2

_Record = tuple[bytes, Callable[[], bytes]]
_OBJECTS = 300  # of a picture where they have a fixed place, those that there are and then zeros


@register('AnnotatedData')
class AnnotatedData(Layer):
    """Batches (N, C, H, W) of a database of AnnotatedDatums, and their boxes (1, 1, R, 8) when there is a second top.

    A box is a row (image, label, instance, xmin, ymin, xmax, ymax, difficult), its corners in units of the picture's
    sides; without any box in a batch there is one row of −1. A picture is distorted (distort_param), laid into a larger
    one (expand_param), cut to a random window (batch_sampler), resized, cropped and mirrored, and its boxes with it.
    Where records have no type and the layer no anno_type, the second top is the pictures' labels (N).

    With `yolo_data_type: 1` of MobileNet-YOLO the second top is (N, 1, 300, 5), rows (label − 1, x, y, w, h) of the
    centres and sizes of each picture's boxes, then zeros; pictures are cut by `yolo_data_jitter` where there is no
    batch_sampler, and without `train_diffcult` difficult boxes are left out. Of several `resize_param` ten batches in a
    row get one by their `prob`. A third top is (N, C, h, w), what
    `caffe.data.annotated.pixel_classes` makes of the labels of pixels in the records, cut and mirrored as the picture.
    """

    bottoms = 0
    values_from = 'files'
    tops = (1, 3)
    open_axes = (2,)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, transform = self.param.data_param, self.param.transform_param
        color = forced_color(self)
        try:
            check_samplers(self.param.annotated_data_param.batch_sampler)
            _check_yolo(self.param.annotated_data_param)
            check_distortion(transform.distort_param)
            self._pixels = PixelClasses(self.param.annotated_data_param) if len(top) > 2 else None
            reader = open_reader(param.source, param.backend, own_generator() if param.shuffle else None)
        except CaffeError as error:
            self.error(str(error))
        transformer = make_transformer(self)
        if transformer.random_sizes:
            self.error('has random_resize_param or random_aspect_ratio_param, which boxes do not follow')
        if transformer.corner_crops:
            self.error('has fix_crop or multi_scale, which boxes do not follow; expected crop_size alone')
        resized = [one for one in transformer.resizings if one.keeps_aspect]
        if self._pixels and (resized or transformer.crop is not None or transform.HasField('expand_param')):
            self.error('has 3 tops, expected no crop, expand_param or FIT_LARGE_SIZE_AND_PAD: pixels do not follow')
        transformer.seeds_pictures = True
        load = _Loader(self.param, transformer, color, self._pixels)
        self._feed = Feed(
            self,
            transformer,
            reader.step,
            load,
            param.batch_size,
            own_generator(),
            param.prefetch,
            divisible=False,  # pictures have any number of boxes
        )
        label = self._feed.shape_tops(self, top[:2], reader.peek())
        if self._pixels:
            self._take_apart(self._pixels, top)
        elif len(top) > 1 and isinstance(label, np.ndarray) and label.ndim == 2:
            top[1].reshape(1, 1, max(1, len(label)), 8)
        log.info('annotated_data_layer.cpp:62', f'output data size: {",".join(map(str, top[0].shape))}')

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._feed.forward(self, top[:2])
        if self._pixels:
            self._take_apart(self._pixels, top)
        elif len(top) > 1 and len(top[1].shape) == 2:
            _set_rows(top[1], top[1].tensor)

    def _take_apart(self, pixels: PixelClasses, top: list[Blob]) -> None:
        """Make two tops of the second one, which has the boxes and the pixels of each picture in a row."""
        images, _, height, width = top[0].shape
        shape = pixels.shape(height, width)
        boxes, maps = top[1].tensor.split([top[1].shape[1] - prod(shape), prod(shape)], 1)
        top[2].reshape(images, *shape)
        top[2].tensor = maps.reshape(top[2].shape)
        if self.param.annotated_data_param.yolo_data_type == 1:
            top[1].reshape(images, 1, _OBJECTS, 5)
            top[1].tensor = boxes.reshape(top[1].shape)
            return
        stated = torch.arange(_OBJECTS, device=boxes.device) < boxes[:, :1]
        rows = boxes[:, 1:].reshape(images, _OBJECTS, ROW_LENGTH)[stated]
        _set_rows(top[1], torch.cat([stated.nonzero()[:, :1].to(rows), rows], 1))


def _set_rows(top: Blob, rows: torch.Tensor) -> None:
    """Put rows (R, 8) of boxes, or one of −1 where there are none, into a top."""
    top.reshape(1, 1, max(1, len(rows)), 1 + ROW_LENGTH)
    top.tensor = rows.reshape(top.shape) if len(rows) else rows.new_full(top.shape, -1)


def _check_yolo(param: caffe_pb2.AnnotatedDataParameter) -> None:
    if param.yolo_data_type not in (0, 1):
        raise CaffeError(f'yolo_data_type is {param.yolo_data_type}, expected 0 or 1')
    if not 0 <= param.yolo_data_jitter < 1:
        raise CaffeError(f'yolo_data_jitter is {param.yolo_data_jitter:g}, expected 0 or more and below 1')


class _Loader:
    """Turns a record into a row of the batch, and gives its boxes (K, 7), or its label where it has no boxes.

    For YOLO boxes are (1, 300, 5); with `pixels` boxes and pixels are one vector.
    """

    def __init__(
        self,
        param: caffe_pb2.LayerParameter,
        transformer: Transformer,
        color: bool | None,
        pixels: PixelClasses | None,
    ) -> None:
        transform, annotated = param.transform_param, param.annotated_data_param
        self.source, self.transformer, self.transform = param.data_param.source, transformer, transform
        self.samplers = list(annotated.batch_sampler)
        self.typed = annotated.HasField('anno_type')
        self.yolo, self.jitter = annotated.yolo_data_type == 1, annotated.yolo_data_jitter
        self.difficult = annotated.train_diffcult
        self.emit = transform.emit_constraint if transform.HasField('emit_constraint') else None
        self.color, self.pixels = color, pixels
        mean = transformer.mean_image
        self.mean = transformer.mean_value if mean is None else mean.mean((1, 2))

    def __call__(self, record: _Record, draw: Draw, new_row: NewRow) -> Label:
        key, fetch = record
        try:
            datum = parse_annotated(fetch())
            random = picture_generator(draw)
            keeps_aspect = any(one.keeps_aspect for one in [self.transformer.resizing(draw)] if one)
            image, rows, window = self._varied(
                picture_of(datum.datum, self.color), rows_of(datum), keeps_aspect, random
            )
            self.transformer.place(image, draw, new_row)
            rows = self._placed(rows, image.shape[0], image.shape[1], draw)
            rows = self._yolo_rows(rows) if self.yolo else rows
            if self.pixels:
                labels = decode_labels(datum.datum)
                labels = labels if window is None else _cut(labels, window)
                return self._with_pixels(rows, self.pixels, labels, image.shape, draw)
        except CaffeError as error:
            raise CaffeError(f"{self.source}: record '{key.decode(errors='replace')}': {error}") from None
        return rows if self.yolo or self.typed or datum.HasField('type') else datum.datum.label

    def _with_pixels(
        self, rows: np.ndarray, pixels: PixelClasses, labels: np.ndarray, shape: tuple[int, ...], draw: Draw
    ) -> np.ndarray:
        """The boxes and the maps of pixels of a picture of that shape in one vector; of (K, 7) the number is first."""
        resizing = self.transformer.resizing(draw)
        height, width = resizing.size(shape[0], shape[1]) if resizing else shape[:2]
        maps = pixels(labels, height, width)[..., :: -1 if self.transformer.flips(draw) else 1]
        if self.yolo:
            return np.concatenate([rows.ravel(), maps.ravel()])
        _check_count(rows)
        boxes = np.zeros(1 + _OBJECTS * ROW_LENGTH, np.float32)
        boxes[0], boxes[1 : 1 + rows.size] = len(rows), rows.ravel()
        return np.concatenate([boxes, maps.ravel()])

    def _varied(
        self, image: np.ndarray, rows: np.ndarray, keeps_aspect: bool, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """A picture and its boxes, distorted, expanded and cut to a random window, and that window (4), if any."""
        if self.transform.HasField('distort_param'):
            image = distorted(image, self.transform.distort_param, random)
        if self.transform.HasField('expand_param'):
            image, window = expanded(image, self.transform.expand_param, self.mean, random)
            rows = inside(rows, window, self.emit)
        sample: np.ndarray | None = (
            jittered_window(self.jitter, keeps_aspect, random)
            if self.yolo and not self.samplers
            else sampled_window(self.samplers, rows[:, CORNERS], random)
        )
        if sample is None:
            return image, rows, None
        sample = sample.clip(0, 1)
        return _cut(image, sample), inside(rows, sample, self.emit), sample

    def _yolo_rows(self, rows: np.ndarray) -> np.ndarray:
        """Boxes (K, 7) as YOLO's labels (1, 300, 5)."""
        rows = rows if self.difficult else rows[rows[:, -1] == 0]
        _check_count(rows)
        low, high = split(rows[:, CORNERS])
        labels = np.zeros((1, _OBJECTS, 5), np.float32)
        labels[0, : len(rows)] = np.concatenate([rows[:, :1] - 1, (low + high) / 2, high - low], 1)
        return labels

    def _placed(self, rows: np.ndarray, height: int, width: int, draw: Draw) -> np.ndarray:
        """The boxes of a picture of that size after what the Transformer does to it."""
        resizing = self.transformer.resizing(draw)
        if resizing:
            rows = rows.copy()
            rows[:, CORNERS] = resizing.boxes(rows[:, CORNERS], height, width)
            height, width = resizing.size(height, width)
        window = WHOLE
        if self.transformer.crop is not None:
            vertical, horizontal = self.transformer.window(height, width, draw)
            corners = [horizontal.start, vertical.start, horizontal.stop, vertical.stop]
            window = np.divide(corners, [width, height] * 2, dtype=np.float32)
        rows = inside(rows, window, self.emit)
        return mirrored(rows) if self.transformer.flips(draw) else rows


def _check_count(rows: np.ndarray) -> None:
    if len(rows) > _OBJECTS:
        raise CaffeError(f'has {len(rows)} boxes, expected {_OBJECTS} or fewer with yolo_data_type or three tops')


def _cut(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    """The pixels of a picture in a window (4) of it, at least one each way."""
    height, width = image.shape[:2]
    left, top = int(window[0] * width), int(window[1] * height)
    right = max(left + 1, left + int((window[2] - window[0]) * width))
    below = max(top + 1, top + int((window[3] - window[1]) * height))
    return image[min(top, height - 1) : below, min(left, width - 1) : right]
