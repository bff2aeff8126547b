"""Pictures with boxes of objects (SSD's AnnotatedDatum), and what becomes of the boxes where a picture is changed.

The boxes of a picture are rows (K, 7) of float32: group (the label of the object's class), instance, xmin, ymin, xmax,
ymax, difficult (0 or 1); corners are in units of the picture's width and height.
"""

from collections.abc import Iterable

import numpy as np
from google.protobuf.message import DecodeError

from caffe.data.annotated.annotation_files import ObjectBox
from caffe.data.boxes import areas, coverages, relative_to
from caffe.data.datum import datum_picture, datum_planes
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

CORNERS = slice(2, 6)
WHOLE = np.array([0, 0, 1, 1], np.float32)  # the picture itself as a box
ROW_LENGTH = 7


def parse_annotated(content: bytes) -> caffe_pb2.AnnotatedDatum:
    """An AnnotatedDatum from bytes; CaffeError where they are none, or hold no picture, as those of a Datum do."""
    try:
        datum = caffe_pb2.AnnotatedDatum.FromString(content)
    except DecodeError:
        datum = caffe_pb2.AnnotatedDatum()
    if not datum.HasField('datum'):
        raise CaffeError(f'is not an AnnotatedDatum ({len(content)} bytes; convert_annoset writes them)')
    return datum


def picture_of(datum: caffe_pb2.Datum, color: bool | None = None) -> np.ndarray:
    """The picture (height, width[, channels]) of a Datum, encoded or as bytes; `color` as for `datum_picture`."""
    if datum.encoded:
        return datum_picture(datum, color)
    planes = datum_planes(datum)
    if planes.dtype != np.uint8:
        raise CaffeError('holds float data, expected a picture of 8 bits per channel')
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def rows_of(datum: caffe_pb2.AnnotatedDatum) -> np.ndarray:
    """The boxes (K, 7) of a picture, in their order."""
    rows = [
        (group.group_label, one.instance_id, *_corners(one.bbox), one.bbox.difficult)
        for group in datum.annotation_group
        for one in group.annotation
    ]
    return np.array(rows, np.float32).reshape(-1, ROW_LENGTH)


def _corners(box: caffe_pb2.NormalizedBBox) -> tuple[float, float, float, float]:
    return box.xmin, box.ymin, box.xmax, box.ymax


def inside(rows: np.ndarray, window: np.ndarray, emit: caffe_pb2.EmitConstraint | None) -> np.ndarray:
    """The boxes of a picture (K, 7) as boxes of the `window` (4) that is cut out of it, or that it is laid into.

    They are cut off at its borders, and those that lie outside are left out, as are those that do not meet the
    constraint `emit`: that their centre lies inside, or more than `emit_overlap` of them.
    """
    boxes = rows[:, CORNERS]
    kept = np.ones(len(rows), bool)
    if emit is not None and emit.emit_type == emit.CENTER:
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        kept = ((centre >= window[:2]) & (centre <= window[2:])).all(1)
    elif emit is not None:
        kept = coverages(boxes, window[None])[:, 0] > emit.emit_overlap
    moved = rows.copy()
    moved[:, CORNERS] = relative_to(boxes, window).clip(0, 1)
    return moved[kept & (areas(moved[:, CORNERS]) > 0)]


def mirrored(rows: np.ndarray) -> np.ndarray:
    """The boxes (K, 7) of a picture in the picture mirrored from left to right."""
    turned = rows.copy()
    turned[:, [2, 4]] = 1 - rows[:, [4, 2]]
    return turned


def annotated(
    datum: caffe_pb2.Datum, objects: Iterable[ObjectBox], height: int, width: int
) -> caffe_pb2.AnnotatedDatum:
    """A picture with objects, whose boxes are in pixels of a picture of that size.

    Objects of one label make a group, in which they are counted as instances.
    """
    made = caffe_pb2.AnnotatedDatum(datum=datum, type=caffe_pb2.AnnotatedDatum.BBOX)
    groups: dict[int, caffe_pb2.AnnotationGroup] = {}
    for one in objects:
        if one.label not in groups:
            groups[one.label] = made.annotation_group.add(group_label=one.label)
        group = groups[one.label]
        group.annotation.add(instance_id=len(group.annotation)).bbox.MergeFrom(
            caffe_pb2.NormalizedBBox(
                xmin=one.xmin / width,
                ymin=one.ymin / height,
                xmax=one.xmax / width,
                ymax=one.ymax / height,
                difficult=one.difficult,
            )
        )
    return made
