"""WindowData and its lists."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffe.errors import CaffeError
from databases import net


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def window_net(extra='', transform='', batch=4, source='windows.txt'):
    return net(f'''layer {{ name: "w" type: "WindowData" top: "data" top: "label"
                   transform_param {{ crop_size: 6 {transform} }}
                   window_data_param {{ source: "{source}" batch_size: {batch} fg_fraction: 0.5 {extra} }} }}''')


@pytest.fixture
def windows(folder):
    """One picture of 12x20 with a foreground window of class 3 and a background window."""
    image = np.full((12, 20, 3), 50, np.uint8)
    image[2:8, 4:10] = 200
    cv2.imwrite('p.png', image)
    Path('windows.txt').write_text('# 0\np.png\n3\n12\n20\n2\n3 0.9 4 2 9 7\n5 0.1 12 0 19 9\n')
    return folder


def test_windows_are_background_first_then_foreground(windows):
    made = window_net(transform='mean_value: 10 scale: 0.5')
    made.forward()
    assert made.blobs['label'].data.tolist() == [0, 0, 3, 3]
    assert (made.blobs['data'].data[:2] == 20).all() and (made.blobs['data'].data[2:] == 95).all()


def test_a_window_is_background_only_below_both_thresholds(windows):
    Path('windows.txt').write_text('# 0\np.png\n3\n12\n20\n2\n3 0.6 4 2 9 7\n5 0.1 12 0 19 9\n')
    made = window_net('fg_threshold: 0.5 bg_threshold: 0.7', 'mean_value: 50', batch=16)
    made.forward()
    assert not made.blobs['data'].data[:8].any()


def test_context_outside_the_picture_is_zero_after_the_mean(windows):
    Path('windows.txt').write_text('# 0\np.png\n3\n12\n20\n2\n3 0.9 0 0 5 5\n5 0.1 12 0 19 9\n')
    made = window_net('context_pad: 1 crop_mode: "square"', 'mean_value: 10')
    made.forward()
    patch = made.blobs['data'].data[2]
    assert not patch[:, 0].any() and not patch[:, :, 0].any() and patch[:, 2:, 2:].all()


@pytest.mark.parametrize(
    'text,part',
    [
        ('', 'no foreground'),
        ('x\n', 'windows.txt:1'),
        ('# 0\np.png\n3\n12\n', 'ends where width'),
        ('# 0\np.png\n3\n12\n20\n1\n3 0.9 4 2\n', 'windows.txt:7'),
        ('# 0\np.png\n3\n12\n20\n1\n3 0.9 9 2 4 7\n', 'empty'),
    ],
)
def test_bad_window_files_are_named(windows, text, part):
    Path('windows.txt').write_text(text)
    with pytest.raises(CaffeError, match=part):
        window_net()


def test_a_missing_picture_of_a_window_is_named(windows):
    os.unlink('p.png')
    with pytest.raises(CaffeError, match='p.png'):
        window_net().forward()
