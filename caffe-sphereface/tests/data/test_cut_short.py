"""A JPEG that is cut short is read as Caffe reads it, and named once."""

import os

import cv2
import numpy as np
import pytest

from caffe import init_log
from caffe.data.pictures import read_picture


@pytest.fixture(autouse=True)
def warnings():
    init_log(1)
    yield
    init_log(int(os.environ.get('GLOG_minloglevel', 0)))


@pytest.fixture
def jpeg():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return cv2.imencode('.jpg', picture)[1].tobytes()


def test_it_is_named_in_one_warning(tmp_path, capfd, jpeg):
    path = tmp_path / 'a.jpg'
    path.write_bytes(jpeg[: len(jpeg) // 2])
    for _ in range(3):
        assert (read_picture(str(path)) == cv2.imread(str(path))).all()
    (line,) = (line for line in capfd.readouterr().err.splitlines() if str(tmp_path) in line)
    assert line.startswith('W') and line.endswith(f'{path}: is cut short; the rest of the picture is grey')


@pytest.mark.parametrize('after', [b'', b'more', bytes(4000)])
def test_a_whole_one_is_not_told_whatever_follows_it(tmp_path, capfd, jpeg, after):
    (tmp_path / 'a.jpg').write_bytes(jpeg + after)
    read_picture(str(tmp_path / 'a.jpg'))
    assert not capfd.readouterr().err
