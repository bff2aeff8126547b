"""ImageSegData and ImageLabelmapData: labels stay on their pixels when both are resized, filled up and mirrored."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe.errors import CaffeError
from databases import net
from training_run import caffe_command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with pictures of 6x8 whose blocks of 2x2 have ten times their labels, and lists of three."""
    monkeypatch.chdir(tmp_path)
    for i in range(3):
        labels = np.kron(np.random.default_rng(i).integers(0, 12, (3, 4), np.uint8), np.ones((2, 2), np.uint8))
        cv2.imwrite(f'labels{i}.png', labels)
        cv2.imwrite(f'picture{i}.png', np.repeat(labels[..., None] * 10, 3, 2))
        cv2.imwrite(f'edges{i}.png', labels * 23)
    Path('pixel.txt').write_text(''.join(f'/picture{i}.png /labels{i}.png\n' for i in range(3)))
    Path('image.txt').write_text(''.join(f'/picture{i}.png {i}\n' for i in range(3)))
    Path('none.txt').write_text(''.join(f'/picture{i}.png\n' for i in range(3)))
    Path('edges.txt').write_text(''.join(f'/picture{i}.png /edges{i}.png\n' for i in range(3)))
    return tmp_path


def made(fields='label_type: PIXEL', transform='', phase=caffe.TRAIN, batch=2, kind='ImageSegData', source='pixel.txt'):
    return net(
        f"""layer {{ name: "d" type: "{kind}" top: "data" top: "label" transform_param {{ {transform} }}
            image_data_param {{ root_folder: "." source: "{source}" batch_size: {batch} {fields} }} }}""",
        phase,
    )


@pytest.mark.parametrize('transform', ['', 'mirror: true', 'crop_size: 4 mirror: true'])
def test_every_pixel_keeps_its_label(folder, transform):
    loaded = made('label_type: PIXEL shuffle: true', transform)
    height, width = loaded.blobs['data'].shape[2:]
    assert loaded.blobs['label'].shape == (2, 1, height, width)
    for _ in range(4):
        loaded.forward()
        assert np.array_equal(loaded.blobs['data'].data[:, :1], 10 * loaded.blobs['label'].data)


def test_what_is_smaller_than_the_crop_is_filled_with_the_mean_and_the_ignored_label(folder):
    loaded = made('label_type: PIXEL ignore_label: 200', 'crop_size: 9 mean_value: 10.5 scale: 2', caffe.TEST, 1)
    loaded.forward()
    data, labels = loaded.blobs['data'].data[0], loaded.blobs['label'].data[0, 0]
    original = cv2.imread('labels0.png', cv2.IMREAD_GRAYSCALE)
    wanted = np.full((9, 9), 200.0)
    wanted[:6, :8] = original
    assert np.array_equal(labels, wanted)
    assert np.array_equal(data[0], np.where(wanted == 200, 0, (10 * wanted - 10.5) * 2))


def test_a_picture_is_resized_with_its_labels_by_one_of_the_factors(folder):
    loaded = made('label_type: PIXEL', 'scale_factors: [0.5, 1, 2] crop_size: 16', batch=1)
    sizes = set()
    for _ in range(40):
        loaded.forward()
        labels = loaded.blobs['label'].data[0, 0]
        known = labels != 255
        sizes.add((int(known.any(1).sum()), int(known.any(0).sum())))
        if known.sum() == 12 * 16:
            values = loaded.blobs['data'].data[0, 0]
            inner = np.zeros_like(known)
            inner[1:11:4, 1:15:4] = inner[2:11:4, 2:15:4] = True  # away from the edges of blocks of 4x4
            assert np.array_equal(values[inner], 10 * labels[inner])
    assert sizes == {(3, 4), (6, 8), (12, 16)}


def test_one_label_for_a_picture_is_that_of_all_pixels(folder):
    loaded = made('', source='image.txt', batch=3)
    loaded.forward()
    assert np.array_equal(loaded.blobs['label'].data, np.broadcast_to([[[[0]]], [[[1]]], [[[2]]]], (3, 1, 6, 8)))


def test_without_labels_all_pixels_are_ignored(folder):
    loaded = made('label_type: NONE ignore_label: 7', source='none.txt')
    loaded.forward()
    assert (loaded.blobs['label'].data == 7).all()


def test_edges_are_what_is_at_least_half_white(folder):
    loaded = made('', 'mirror: true', batch=3, kind='ImageLabelmapData', source='edges.txt')
    loaded.forward()
    data = loaded.blobs['data'].data[:, :1]
    assert np.array_equal(loaded.blobs['label'].data, data / 10 * 23 > 127)


@pytest.mark.parametrize(
    'fields, transform, told',
    [
        ('label_type: PIXEL new_height: 3', '', 'expected both or none'),
        ('label_type: PIXEL', 'scale_factors: 0', r'scale_factors are \[0.0\], expected values above 0'),
        ('label_type: PIXEL', 'resize_param { height: 3 width: 3 }', 'new_height and new_width'),
        ('label_type: PIXEL', 'crop_size: 4 fix_crop: true', 'which labels do not follow'),
        ('label_type: PIXEL', 'mean_value: [1, 2] crop_size: 9', 'mean_value is given 2 times'),
        ('', '', "pixel.txt:1: '/picture0.png /labels0.png', expected a path, a space and a whole number"),
    ],
)
def test_what_it_does_not_do_is_refused(folder, fields, transform, told):
    with pytest.raises(CaffeError, match=told) as error:
        made(fields, transform)
    assert "layer 'd'" in str(error.value)


def test_labels_of_another_size_or_missing_are_named_with_their_line(folder):
    cv2.imwrite('labels1.png', np.zeros((6, 9), np.uint8))
    with pytest.raises(CaffeError, match=r'pixel.txt:2: ./labels1.png: has size \(6, 9\), its picture \(6, 8\)'):
        made().forward()
    Path('labels1.png').unlink()
    with pytest.raises(CaffeError, match='pixel.txt:2: ./labels1.png: cannot be read'):
        made().forward()


@pytest.mark.parametrize(
    'transform, fields, told',
    [
        ('scale_factors: 2', '', 'transform_param has scale_factors, expected them in an ImageSegData layer'),
        ('', 'label_type: PIXEL', 'has label_type, expected it in a layer of labels of pixels or of clips'),
        ('', 'new_length: 4', 'has new_length, expected it in a layer of labels of pixels or of clips'),
    ],
)
def test_image_data_refuses_its_fields(folder, transform, fields, told):
    with pytest.raises(CaffeError, match=told):
        made(fields, transform, kind='ImageData', source='image.txt')


def test_a_net_of_pspnet_learns_the_classes_of_pixels(folder):
    values, lines = np.random.default_rng(0), []
    for i in range(6):
        labels = np.kron(values.integers(0, 2, (4, 4), np.uint8), np.ones((4, 4), np.uint8))
        cv2.imwrite(f'l{i}.png', labels)
        noise = values.integers(0, 40, (16, 16, 3), np.uint8)
        cv2.imwrite(f'p{i}.png', (80 + 90 * labels)[..., None] + noise)
        lines.append(f'/p{i}.png /l{i}.png\n')
    Path('train.txt').write_text(''.join(lines))
    Path('net.prototxt').write_text(
        """layer { name: "data" type: "ImageSegData" top: "data" top: "label" transform_param { mirror: true
               crop_size: 17 mean_value: [102.98, 115.947, 122.772] scale_factors: [0.75, 1, 1.25, 1.5] scale: 0.02 }
               image_data_param { root_folder: "." source: "train.txt" batch_size: 6 shuffle: true
               label_type: PIXEL } }
           layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4
               kernel_size: 3 pad: 1 stride: 2 weight_filler { type: "msra" } } }
           layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
           layer { name: "score" type: "Convolution" bottom: "conv" top: "score" convolution_param { num_output: 2
               kernel_size: 1 weight_filler { type: "msra" } } }
           layer { name: "interp" type: "Interp" bottom: "score" top: "map" interp_param { height: 17 width: 17 } }
           layer { name: "loss" type: "SoftmaxWithLoss" bottom: "map" bottom: "label" top: "loss"
               loss_param { ignore_label: 255 } }
           layer { name: "accuracy" type: "SegAccuracy" bottom: "map" bottom: "label" top: "accuracy"
               seg_accuracy_param { ignore_label: 255 } }"""
    )
    Path('solver.prototxt').write_text(
        'net: "net.prototxt" base_lr: 0.02 lr_policy: "fixed" type: "Adam" max_iter: 61 display: 30 random_seed: 1 '
        'snapshot_prefix: "psp" solver_mode: CPU'
    )
    done = caffe_command(folder, 'train', '-solver', 'solver.prototxt')
    assert done.returncode == 0, done.stderr
    shares = [float(line.split('=')[1].split()[0]) for line in done.stderr.splitlines() if 'accuracy = ' in line]
    assert len(shares) >= 3 and min(shares[-3:]) > 0.75
