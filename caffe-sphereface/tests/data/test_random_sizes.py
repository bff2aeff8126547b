"""Random sizes and aspects (random_resize_param, random_aspect_ratio_param), and shuffled records."""

import cv2
import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.data.augmentation import Transformer
from caffe.data.random_sizes import AspectCrops, RandomSizes
from caffe.errors import CaffeError
from caffe.proto.caffe_pb2 import RandomAspectRatioParameter, RandomResizeParameter, TransformationParameter
from databases import net, seven

HEIGHT, WIDTH = 60, 80
# each pixel tells its place
PLACES = np.stack(np.mgrid[:HEIGHT, :WIDTH], axis=2).astype(np.float32)


def drawn(made, picture, count=400):
    random = np.random.default_rng(3)
    return [made(picture, random) for _ in range(count)]


def test_parts_have_the_area_and_aspect_that_are_asked_for():
    param = RandomAspectRatioParameter(min_area_ratio=0.2, max_area_ratio=0.5, aspect_ratio_change=0.75)
    param.resize_param.interp_mode.append(param.resize_param.NEAREST)
    areas, aspects, corners = [], [], []
    for part in drawn(AspectCrops(param, 200), PLACES):
        assert part.shape == (200, 200, 2)
        (top, left), (bottom, right) = part[0, 0], part[-1, -1]
        rows, columns = bottom - top + 1, right - left + 1
        areas.append(rows * columns / (HEIGHT * WIDTH))
        aspects.append(np.sqrt(rows / columns))
        corners.append((top / max(1, HEIGHT - rows), left / max(1, WIDTH - columns)))
    # rows and columns are cut off to whole numbers
    assert 0.185 < min(areas) < 0.22 and 0.48 < max(areas) <= 0.5
    assert 0.73 < min(aspects) < 0.8 and 1.25 < max(aspects) < 1.37
    assert 0.4 < np.mean(np.array(aspects) < 1) < 0.65
    # as likely at one side as at the other
    assert np.abs(np.mean(corners, axis=0) - 0.5).max() < 0.08
    assert np.min(corners) == 0 and np.max(corners) == 1


def test_a_picture_that_no_part_fits_is_resized_whole():
    param = RandomAspectRatioParameter(min_area_ratio=1, max_area_ratio=1, max_attempt=3)  # squares of its area
    picture = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    for made in drawn(AspectCrops(param, 30), picture, 5):
        np.testing.assert_array_equal(made, cv2.resize(picture, (40, 30)))
    for made in drawn(AspectCrops(param, 30), picture.transpose(1, 0, 2), 5):
        assert made.shape == (40, 30, 3)


def test_the_shorter_side_is_drawn_and_the_aspect_stays():
    picture = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    param = RandomResizeParameter(min_size=30, max_size=33)
    param.resize_param.interp_mode.append(param.resize_param.CUBIC)
    made = drawn(RandomSizes(param), picture)
    assert {one.shape[:2] for one in made} == {(30, 40), (31, 41), (32, 42), (33, 44)}
    expected = cv2.resize(picture, (42, 32), interpolation=cv2.INTER_CUBIC)
    assert any(np.array_equal(one, expected) for one in made)
    assert {one.shape[0] for one in drawn(RandomSizes(RandomResizeParameter()), picture)} == set(range(60, 81))
    assert drawn(RandomSizes(param), picture.transpose(1, 0, 2), 1)[0].shape[1] in (30, 31, 32, 33)


@pytest.mark.parametrize('phase', [caffe.TRAIN, caffe.TEST])
def test_a_net_gets_crops_of_what_was_resized(tmp_path, monkeypatch, phase):
    monkeypatch.chdir(tmp_path)
    seven()
    for what in ('random_aspect_ratio_param { }', 'random_resize_param { min_size: 12 max_size: 12 }'):
        made = net(
            'layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "db" backend: LMDB '
            f'batch_size: 7 }} transform_param {{ crop_size: 9 {what} }} }}',
            phase,
        )
        made.forward()
        assert made.blobs['data'].shape[2:] == (9, 9) and np.abs(made.blobs['data'].data).max() > 0


@pytest.mark.parametrize(
    'text, expected',
    [
        ('random_resize_param { }', 'random_resize_param without crop_size'),
        ('crop_size: 4 random_aspect_ratio_param { } fix_crop: true', 'fix_crop or multi_scale, expected one'),
        ('crop_size: 4 random_aspect_ratio_param { min_area_ratio: 0.9 max_area_ratio: 0.5 }', 'min_area_ratio 0.9'),
        ('crop_size: 4 random_aspect_ratio_param { aspect_ratio_change: 1.5 }', 'aspect_ratio_change 1.5, expected'),
        ('crop_size: 4 random_resize_param { min_size: 9 max_size: 8 }', 'min_size <= max_size'),
    ],
)
def test_what_cannot_be_done_is_said(text, expected):
    with pytest.raises(CaffeError, match=expected):
        Transformer(text_format.Parse(text, TransformationParameter()), caffe.TRAIN)


def test_shuffled_records_come_in_a_new_order_each_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seven()
    caffe.set_random_seed(5)
    made = net(
        'layer { name: "d" type: "Data" top: "data" top: "label" '
        'data_param { source: "db" backend: LMDB batch_size: 7 shuffle: true } }',
        caffe.TRAIN,
    )
    orders = []
    for _ in range(6):
        made.forward()
        orders.append(tuple(made.blobs['label'].data.astype(int).tolist()))
    assert all(sorted(order) == list(range(7)) for order in orders) and len(set(orders)) == 6


def test_a_shuffled_leveldb_is_refused():
    with pytest.raises(CaffeError, match='has shuffle, which is for LMDB here'):
        net('layer { name: "d" type: "Data" top: "data" data_param { source: "db" batch_size: 7 shuffle: true } }')
