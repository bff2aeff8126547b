"""DenseImageData: labels stay on the pixels that they belong to."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe.errors import CaffeError
from databases import net


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with pictures of 6x8 whose values are ten times their labels, and the list of three."""
    monkeypatch.chdir(tmp_path)
    for i in range(3):
        labels = np.random.default_rng(i).integers(0, 12, (6, 8), np.uint8)
        cv2.imwrite(f'labels{i}.png', labels)
        cv2.imwrite(f'picture{i}.png', np.repeat(labels[..., None] * 10, 3, 2))
    Path('list.txt').write_text(''.join(f'picture{i}.png labels{i}.png\n' for i in range(3)))
    return tmp_path


def made(dense='', transform='', phase=caffe.TRAIN, batch=2):
    return net(
        f"""layer {{ name: "d" type: "DenseImageData" top: "data" top: "label" transform_param {{ {transform} }}
            dense_image_data_param {{ source: "list.txt" batch_size: {batch} {dense} }} }}""",
        phase,
    )


@pytest.mark.parametrize('dense', ['', 'shuffle: true', 'is_color: false'])
@pytest.mark.parametrize('transform', ['', 'mirror: true', 'crop_size: 4 mirror: true', 'crop_h: 4 crop_w: 7'])
def test_every_pixel_keeps_its_label(folder, dense, transform):
    loaded = made(dense, transform)
    height, width = loaded.blobs['data'].shape[2:]
    assert loaded.blobs['label'].shape == (2, 1, height, width)
    for _ in range(4):
        loaded.forward()
        assert np.array_equal(loaded.blobs['data'].data[:, :1], 10 * loaded.blobs['label'].data)


def test_labels_are_resized_to_the_nearest_pixel(folder):
    loaded = made('new_height: 12 new_width: 16', batch=1)
    loaded.forward()
    labels = np.kron(cv2.imread('labels0.png', cv2.IMREAD_GRAYSCALE), np.ones((2, 2)))
    assert np.array_equal(loaded.blobs['label'].data[0, 0], labels)


def test_a_loss_over_pixels_takes_them(folder):
    text = """layer { name: "d" type: "DenseImageData" top: "data" top: "label"
                  dense_image_data_param { source: "list.txt" batch_size: 3 } }
              layer { name: "c" type: "Convolution" bottom: "data" top: "c"
                  convolution_param { num_output: 12 kernel_size: 1 } }
              layer { name: "l" type: "SoftmaxWithLoss" bottom: "c" bottom: "label" top: "l" }"""
    loaded = net(text)
    assert float(loaded.forward()['l']) == pytest.approx(np.log(12), rel=1e-4)


@pytest.mark.parametrize(
    'dense, transform, told',
    [
        ('new_height: 3', '', 'expected both or none'),
        ('mirror: true', '', 'expected them in transform_param'),
        ('rand_skip: 4000000000', '', 'rand_skip'),
        ('', 'resize_param { height: 3 width: 3 }', 'new_height and new_width'),
    ],
)
def test_what_it_does_not_do_is_refused(folder, dense, transform, told):
    with pytest.raises(CaffeError, match=told) as error:
        made(dense, transform)
    assert "layer 'd'" in str(error.value)


def test_labels_of_another_size_are_named_with_their_line(folder):
    cv2.imwrite('labels1.png', np.zeros((6, 9), np.uint8))
    with pytest.raises(CaffeError, match=r'list.txt:2: labels1.png: has size \(6, 9\), its picture \(6, 8\)'):
        made().forward()
