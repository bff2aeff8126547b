"""ImageGtData: MS-CNN's window file, its tops, and what is refused by file and line."""

import os
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe.errors import CaffeError
from databases import net
from gpu_mode import gpu_mode

MAPS = 'downsample_rate: 8 field_w: 16 field_h: 12 downsample_rate: 16 field_w: 32 field_h: 24'


def block(index=0, path='a.png', boxes=(), regions=()):
    lines = [f'{len(boxes)}', *boxes, f'{len(regions)}', *regions]
    return f'# {index}\n{path}\n3\n40\n60\n' + ''.join(f'{line}\n' for line in lines)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Two pictures of 40x60, and a window file of them."""
    monkeypatch.chdir(tmp_path)
    for name, value in (('a.png', 50), ('b.png', 90)):
        cv2.imwrite(name, np.full((40, 60, 3), value, np.uint8))
    boxes = ['2 0 10 10 29 25', '1 1 40 4 55 20']
    Path('windows.txt').write_text(block(0, 'a.png', boxes, ['0 30 20 39']) + block(1, 'b.png'))


def made(extra='', transform='', tops='data small large boxes', phase=caffe.TRAIN, batch=2, fields=MAPS):
    tops = ' '.join(f'top: "{top}"' for top in tops.split())
    return net(
        f"""layer {{ name: "d" type: "ImageGtData" {tops} transform_param {{ {transform} }} image_gt_data_param {{
        source: "windows.txt" batch_size: {batch} output_gt_boxes: true {fields} {extra} }} }}""",
        phase,
    )


def test_tops_are_pictures_labels_of_each_map_and_true_boxes():
    loaded = made(transform='mean_value: 10', extra='scale: 0.5')
    loaded.forward()
    shapes = {name: blob.shape for name, blob in loaded.blobs.items()}
    assert shapes == {'data': (2, 3, 40, 60), 'small': (2, 6, 5, 8), 'large': (2, 6, 3, 4), 'boxes': (2, 7, 1, 1)}
    assert (loaded.blobs['data'].data[0] == 20).all() and (loaded.blobs['data'].data[1] == 40).all()
    rows = loaded.blobs['boxes'].data.reshape(2, 7).tolist()
    assert rows == [[0, 10, 10, 29, 25, 2, 0], [0, 40, 4, 55, 20, 1, 1]]
    small = loaded.blobs['small'].data
    assert small[0, :5, 2, 2].tolist() == [2, 19.5, 17.5, 19, 15] and small[0, 0].max() == 2
    assert small[0, 5, 4, 0] == 1 and not small[1].any()


def test_without_a_top_for_true_boxes_there_is_none():
    text = f"""layer {{ name: "d" type: "ImageGtData" top: "data" top: "small" top: "large"
        image_gt_data_param {{ source: "windows.txt" batch_size: 1 {MAPS} }} }}"""
    assert set(net(text).blobs) == {'data', 'small', 'large'}


def test_a_batch_without_true_boxes_has_one_that_is_ignored():
    Path('windows.txt').write_text(block(0, 'b.png'))
    loaded = made()
    loaded.forward()
    assert loaded.blobs['boxes'].data.ravel().tolist() == [0, 1, 1, 2, 2, 1, 1]


def test_boxes_beyond_the_frame_and_small_ones_are_ignored():
    Path('windows.txt').write_text(block(0, 'a.png', ['1 0 0 0 15 15', '1 0 44 24 59 39']))
    loaded = made('crop_width: 24 crop_height: 24', batch=1)
    seen = set()
    for _ in range(12):
        loaded.forward()
        rows = loaded.blobs['boxes'].data.reshape(-1, 7)
        middle = (rows[:, 1:3] + rows[:, 3:5]) / 2
        outside = ((middle < 0) | (middle >= 24)).any(1)
        assert (rows[:, 6] == outside).all()
        seen.add(tuple(outside))
    assert len(seen) > 1
    loaded = made('min_gt_width: 17', batch=1)
    loaded.forward()
    assert loaded.blobs['boxes'].data[:, 6].ravel().tolist() == [1, 1]


def test_pictures_with_boxes_to_learn_from_come_several_times():
    loaded = made('fg_img_multiple: 3', batch=4)
    loaded.forward()
    assert loaded.blobs['data'].data[:, 0, 0, 0].tolist() == [50, 50, 50, 90]


def test_what_lies_beside_a_smaller_picture_is_zero_and_no_background():
    loaded = made('crop_width: 96 crop_height: 80', 'mean_value: 10')
    loaded.forward()
    data, small = (loaded.blobs[name].data for name in ('data', 'small'))
    assert (data[0] == 0).any() and set(np.unique(data[0])) == {0, 40}
    assert small.shape == (2, 6, 10, 12) and (small[1, 5] == 1).any() and (small[1, 5] == 0).any()


@pytest.mark.parametrize('cached', ['', 'cache_images: true'])
def test_the_same_seed_gives_the_same_batches_whatever_the_mode_and_the_workers(cached, monkeypatch):
    runs = []
    for mode, workers in ((nullcontext, '1'), (nullcontext, '3'), (gpu_mode, '2')):
        monkeypatch.setenv('CAFFE_DATA_WORKERS', workers)
        with mode():
            caffe.set_random_seed(5)
            scaled = 'do_multiple_scale: true min_scale: 12 max_scale: 48'
            loaded = made(f'shuffle: true crop_width: 32 crop_height: 32 {scaled} {cached}', 'mirror: true', batch=3)
            for _ in range(2):
                loaded.forward()
            runs.append({name: blob.data.copy() for name, blob in loaded.blobs.items()})
    for name, values in runs[0].items():
        for other in runs[1:]:
            np.testing.assert_array_equal(other[name], values)


@pytest.mark.parametrize(
    'text, told',
    [
        (None, 'windows.txt: cannot be read'),
        ('', 'windows.txt: lists no pictures'),
        (block(boxes=['1 0 2 3 4']), r'windows.txt:7: 5 numbers where true boxes have 6'),
        (block(boxes=['0 0 2 3 9 9']), r'windows.txt:7: class 0, which is no object'),
        (block(boxes=['1 0 2 3 9 nine']), r'windows.txt:7: .*nine'),
        (block(regions=['1 2 3']), r'windows.txt:8: 3 numbers where regions have 4'),
        (block() + 'b.png\n', r'windows.txt:8: a line "# index", expected the blocks'),
        ('# 0\na.png\n3\n40\n60\n2\n1 0 2 3 9 9\n', r'windows.txt:7: ends where one of the true boxes is expected'),
        (block(path='none.png'), r'windows.txt:7: none.png: cannot be read'),
        (block(path='windows.txt'), r'windows.txt:7: windows.txt: is not a picture'),
    ],
)
def test_what_is_wrong_in_a_window_file_is_named_by_file_and_line(text, told):
    os.remove('windows.txt')
    if text is not None:
        Path('windows.txt').write_text(text)
    with pytest.raises(CaffeError, match=told) as caught:
        made()
    assert "layer 'd' (ImageGtData): " in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'extra, transform, tops, told',
    [
        ('field_w: 9', '', 'data small large boxes', 'expected as many of each'),
        ('', '', 'data small boxes', 'has 3 top blobs, expected 4'),
        ('coord_num: 5', '', 'data small large boxes', 'coord_num is 5, expected 4'),
        ('mirror: true', '', 'data small large boxes', 'expected mirror and mean_value in transform_param'),
        ('', 'scale: 2', 'data small large boxes', 'expected mirror and mean_value in transform_param'),
        ('', 'mean_value: 1 mean_value: 2', 'data small large boxes', 'mean_value is given 2 times'),
        ('crop_width: 20', '', 'data small large boxes', 'has one of crop_width and crop_height'),
        (
            'resize_width: 20 resize_height: 20 crop_width: 21 crop_height: 20',
            '',
            'data small large boxes',
            r'crop_height, crop_width are \(20, 21\), expected \(20, 20\) at most',
        ),
        ('do_multiple_scale: true min_scale: 9 max_scale: 8', '', 'data small large boxes', 'expected 0 < min_scale'),
        ('min_whaspect: 1 max_whaspect: 1', '', 'data small large boxes', 'larger by 0.05'),
        ('fg_img_multiple: 0', '', 'data small large boxes', 'fg_img_multiple is 0'),
    ],
)
def test_parameters_that_do_not_fit_are_refused(extra, transform, tops, told):
    with pytest.raises(CaffeError, match=told):
        made(extra, transform, tops)
