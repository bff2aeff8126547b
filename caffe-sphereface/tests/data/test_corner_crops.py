"""Crops at fixed places and of several sizes, through a Data layer's Transformer."""

import cv2
import numpy as np
import pytest

import caffe
from caffe.data.augmentation import Transformer
from caffe.data.video.corner_crops import CornerCrops
from caffe.errors import CaffeError
from caffe.proto.caffe_pb2 import TransformationParameter

HEIGHT, WIDTH = 25, 33
PICTURE = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH), np.uint8)


def transformer(phase=caffe.TRAIN, **fields):
    return Transformer(TransformationParameter(crop_size=16, **fields), phase)


def placed(made, planes, count=200):
    """The crops of `count` draws, (count, channels, 16, 16)."""
    rows = []

    def new_row(shape, dtype):
        rows.append(np.empty(shape, dtype))
        return rows[-1]

    for draw in made.draws(np.random.default_rng(0), count):
        made.place_planes(planes, draw, new_row)
    return np.array(rows)


def windows(places, size=(16, 16)):
    """The crops of the picture at `places` in quarters, by slicing and cv2 alone."""
    down, right = (HEIGHT - size[0]) // 4, (WIDTH - size[1]) // 4
    cut = [PICTURE[a * down : a * down + size[0], b * right : b * right + size[1]] for a, b in places]
    return [window if size == (16, 16) else cv2.resize(window, (16, 16)) for window in cut]


CORNERS = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
FURTHER = [(0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (1, 3), (3, 1), (3, 3)]


def as_set(pictures):
    return {np.asarray(picture, np.float32).tobytes() for picture in pictures}


@pytest.mark.parametrize('more', [False, True])
def test_windows_lie_in_corners_centre_and_further_places(more):
    crops = placed(transformer(fix_crop=True, more_fix_crop=more), PICTURE[None])
    assert as_set(crops[:, 0]) == as_set(windows(CORNERS + FURTHER * more))


def test_windows_of_several_sizes_are_made_as_large_as_the_crop():
    ratios = [1, 0.8, 0.6]
    crops = placed(transformer(fix_crop=True, multi_scale=True, scale_ratios=ratios, max_distort=1), PICTURE[None], 600)
    sides = [25, 20, 16]  # 25 · 0.6 is 15, within 2 pixels of the crop
    sizes = [(sides[i], sides[j]) for i in range(3) for j in range(3) if abs(i - j) <= 1]
    assert len(sizes) == 7
    assert as_set(crops[:, 0]) == as_set(sum((windows(CORNERS, size) for size in sizes), []))


def test_sizes_alone_leave_the_place_anywhere():
    crops = placed(transformer(multi_scale=True, scale_ratios=[0.64]), PICTURE[None])
    assert len(as_set(crops[:, 0])) > 100


def test_all_planes_are_cut_and_mirrored_alike_and_flow_to_the_right_is_reversed():
    planes = np.stack([PICTURE, 255 - PICTURE, PICTURE, 255 - PICTURE])
    crops = placed(transformer(fix_crop=True, multi_scale=True, mirror=True, is_flow=True), planes)
    assert np.array_equal(crops[:, 0], crops[:, 2]) and np.array_equal(crops[:, 1], crops[:, 3])
    sums = crops[:, 0] + crops[:, 1]  # 255 as they are; mirrored, 255 − x + 255 − x
    unmirrored = np.abs(sums - 255).max((1, 2)) <= 1
    assert 0 < unmirrored.sum() < len(crops)
    assert np.abs(crops[:, 0] - crops[:, 1])[~unmirrored].max() <= 1


def test_test_takes_the_centre():
    crops = placed(transformer(caffe.TEST, fix_crop=True, multi_scale=True), PICTURE[None], 3)
    assert as_set(crops[:, 0]) == as_set([PICTURE[4:20, 8:24]])


@pytest.mark.parametrize(
    'fields, crop, told',
    [
        ({'fix_crop': True}, None, 'expected crop_size as well'),
        ({'multi_scale': True, 'mean_file': 'm'}, (16, 16), 'expected mean_value'),
        ({'multi_scale': True, 'scale_ratios': [1.5]}, (16, 16), r'scale_ratios are \[1.5\], expected values above 0'),
    ],
)
def test_what_they_do_not_do_is_refused(fields, crop, told):
    with pytest.raises(CaffeError, match=told):
        CornerCrops(TransformationParameter(**fields), crop)


def test_pictures_that_are_too_small_are_refused():
    with pytest.raises(CaffeError, match=r'a window of 16x16 is larger than the picture of \(10, 33\)'):
        placed(transformer(fix_crop=True), PICTURE[None, :10], 1)
