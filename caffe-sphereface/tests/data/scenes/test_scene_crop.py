"""Random parts of pictures: rectangles follow what they enclose, and scales are those asked for."""

import numpy as np
import pytest

from caffe.data.scenes.crop import Cropper
from caffe.proto.caffe_pb2 import ImageGtDataParameter

BOX = np.array([[30, 20, 50, 36]], np.float32)


def picture(height=80, width=100):
    """Black with a white box."""
    image = np.zeros((height, width, 3), np.uint8)
    image[20:36, 30:50] = 255
    return image


def crops(param, height, width, boxes=1, mirror=False, count=40, image=None):
    cropper = Cropper(param, height, width, mirror)
    return [
        cropper(picture() if image is None else image, BOX, boxes, np.random.default_rng(seed)) for seed in range(count)
    ]


def white(crop):
    """The corners of what is white, in the frame."""
    rows, columns = np.nonzero(crop.image.mean(2) > 127)
    corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return np.add(corners, [crop.left, crop.top, crop.left, crop.top])


@pytest.mark.parametrize(
    'fields, frame',
    [
        ({}, (40, 60)),
        ({}, (90, 130)),
        ({'resize_width': 150, 'resize_height': 100}, (60, 60)),
        ({'do_multiple_scale': True, 'min_scale': 12, 'max_scale': 48}, (70, 70)),
        (
            {'do_multiple_scale': True, 'min_scale': 12, 'max_scale': 24, 'min_whaspect': 0.8, 'max_whaspect': 2},
            (70, 70),
        ),
    ],
)
@pytest.mark.parametrize('mirror', [False, True])
def test_boxes_follow_what_they_enclose(fields, frame, mirror):
    places = set()
    for crop in crops(ImageGtDataParameter(**fields), *frame, mirror=mirror):
        rows, columns = np.add((crop.top, crop.left), crop.image.shape[:2])
        assert rows <= frame[0] and columns <= frame[1]
        np.testing.assert_allclose(white(crop), crop.rectangles[0].clip(0, 1e9), atol=2)
        places.add(tuple(crop.rectangles[0]))
    assert len(places) > 8


def test_a_smaller_picture_lies_near_the_middle_of_the_frame():
    for crop in crops(ImageGtDataParameter(), 120, 140):
        assert crop.image.shape == (80, 100, 3)
        assert abs(crop.top - 20) <= 10 and abs(crop.left - 20) <= 10


def test_scales_give_a_box_one_of_the_sizes_asked_for():
    param = ImageGtDataParameter(do_multiple_scale=True, min_scale=20, max_scale=40)
    sizes = {round(float(np.sqrt(np.prod(c.rectangles[0, 2:] - c.rectangles[0, :2]))), 1) for c in crops(param, 60, 60)}
    # the box has an area of 17.9², most like the first of 20², 28.3² and 40²
    assert sizes == {17.9, 25.3, 35.8}


def test_aspects_are_those_between_the_limits():
    fields = {'do_multiple_scale': True, 'min_scale': 12, 'max_scale': 24, 'min_whaspect': 0.8, 'max_whaspect': 1.3}
    sides = [c.rectangles[0, 2:] - c.rectangles[0, :2] for c in crops(ImageGtDataParameter(**fields), 60, 60, count=99)]
    aspects = {round(float(width / height), 2) for width, height in sides}
    assert len(aspects) > 4 and aspects - {1.25} <= {round(0.8 + 0.05 * k, 2) for k in range(10)}


def test_without_boxes_any_place_is_taken():
    starts = [tuple(crop.rectangles[0, :2]) for crop in crops(ImageGtDataParameter(), 40, 60, boxes=0)]
    columns, rows = zip(*starts)
    assert min(columns) < 0 < max(columns) and min(rows) < 0 < max(rows)
