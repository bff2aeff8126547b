"""Pictures for training without labels: each part of a batch is what it says, in a light of its own."""

import cv2
import numpy as np
import pytest
from sphereslim.data.preparation import InputForm
from sphereslim.engine import caffe
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import parse_net
from sphereslim.rewrite import varied_pictures
from sphereslim.rewrite.varied_pictures import with_pictures

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, %d, %d] } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { kernel_size: 1 } }
"""


@pytest.fixture
def pictures(tmp_path):
    """A list of two colour pictures of 16x12 (height x width), (list, pictures as BGR)."""
    values = np.random.default_rng(0).integers(0, 256, (2, 16, 12, 3)).astype(np.uint8)
    paths = [tmp_path / f'{number}.png' for number in range(2)]
    for path, image in zip(paths, values):
        cv2.imwrite(str(path), image)
    (tmp_path / 'list.txt').write_text(''.join(f'{path} 0\n' for path in paths))
    return tmp_path / 'list.txt', values


@pytest.fixture
def even_light(monkeypatch):
    monkeypatch.setattr(varied_pictures, 'CONTRAST', (1.0, 1.0))
    monkeypatch.setattr(varied_pictures, 'BRIGHTNESS', 0.0)


def batch(pictures, form, count, size, height=16, width=12):
    """What the net of height x width reads of a list, (count, 3, height, width)."""
    net = open_net(with_pictures(parse_net(NET % (height, width)), form, pictures, count, size), phase=caffe.TRAIN)
    return net, lambda: net.forward() and net.blobs['data'].data.copy()


def is_one_of(image, values):
    """Whether an image (3, H, W) is one of the `values` (N, H, W, 3), or the mirror image of one."""
    rows = [each.transpose(2, 0, 1) for value in values for each in (value, value[:, ::-1])]
    return any(np.allclose(image, row, atol=1e-4) for row in rows)


def test_half_of_a_batch_are_the_pictures_and_their_mirror_images(pictures, even_light):
    form = InputForm(mean=(10.0, 20.0, 30.0), scale=0.5, rgb=True)
    _, read = batch(pictures[0], form, 8, (16, 12))
    expected = (pictures[1][..., ::-1] - np.array(form.mean)) * form.scale
    assert [is_one_of(image, expected) for image in read()] == [False] * 4 + [True] * 4


def test_the_others_are_larger_and_their_part_shifts(pictures, even_light):
    net, read = batch(pictures[0], InputForm(), 8, (16, 12))
    first = read()
    for name, height, width in (('enlarged', 18, 13), ('stretched', 20, 13)):
        param = net.layer_dict[f'data_{name}'].param
        assert (param.image_data_param.new_height, param.image_data_param.new_width) == (height, width)
        assert (param.transform_param.crop_h, param.transform_param.crop_w) == (16, 12)
    others = [read()[:4] for _ in range(12)]
    assert len({image.tobytes() for part in (first[:4], *others) for image in part}) > 8


def test_light_changes_from_picture_to_picture_and_from_pass_to_pass(pictures):
    form = InputForm(scale=0.01)
    net, read = batch(pictures[0], form, 8, (16, 12))
    seen = []
    for _ in range(20):
        after = read()
        before = net.blobs['data_joined'].data
        slopes = [np.polyfit(x.ravel(), y.ravel(), 1) for x, y in zip(before, after)]
        assert all(np.allclose(np.polyval(s, x), y, atol=1e-4) for s, x, y in zip(slopes, before, after))
        seen += slopes
    contrast, brightness = np.array(seen).T
    low, high = varied_pictures.CONTRAST
    assert low <= contrast.min() < low + 0.05 and high - 0.05 < contrast.max() <= high
    assert 0.3 < np.abs(brightness).max() <= varied_pictures.BRIGHTNESS * form.scale + 1e-6
    assert len(np.unique(contrast.round(6))) > 100


def test_pictures_that_are_resized_grow_from_the_size_of_the_net(pictures):
    net, read = batch(pictures[0], InputForm(crop='resize'), 4, (16, 12), 8, 8)
    assert read().shape == (4, 3, 8, 8)
    sizes = {
        layer.name: (layer.image_data_param.new_height, layer.transform_param.crop_size)
        for layer in (net.layer_dict[f'data_{name}'].param for name in ('plain', 'enlarged', 'stretched'))
    }
    assert sizes == {'data_plain': (8, 0), 'data_enlarged': (9, 8), 'data_stretched': (10, 8)}


def test_pictures_that_are_larger_than_the_net_are_cut(pictures):
    assert batch(pictures[0], InputForm(), 4, (16, 12), 14, 11)[1]().shape == (4, 3, 14, 11)


def test_a_caffe_that_cuts_squares_only_gets_mirror_images(pictures, monkeypatch):
    monkeypatch.setattr(varied_pictures, '_can_cut', lambda layer: False)
    net, read = batch(pictures[0], InputForm(), 4, (16, 12))
    assert read().shape == (4, 3, 16, 12) and 'data_plain' not in net.layer_dict


def test_without_a_size_pictures_are_mirrored_only(pictures):
    net, read = batch(pictures[0], InputForm(mean=0.0, scale=1.0), 2, None)
    assert all(is_one_of(image, pictures[1].astype(float)) for image in read())
    assert [layer.type for layer in net.layers] == ['ImageData', 'Silence', 'Pooling']
