"""A small SSD learns to find one bright square: default boxes, matching, mining, losses and what it finds then."""

import numpy as np

import caffe
from ssd_head import ssd_head

SIZE, COUNT = 32, 8
NET = """
layer { name: "data" type: "Input" top: "data" top: "label" include { phase: TRAIN }
        input_param { shape { dim: 8 dim: 1 dim: 32 dim: 32 } shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
layer { name: "seen" type: "Input" top: "data" include { phase: TEST }
        input_param { shape { dim: 8 dim: 1 dim: 32 dim: 32 } } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
        convolution_param { num_output: 8 kernel_size: 5 stride: 2 pad: 2 weight_filler { type: "msra" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2"
        convolution_param { num_output: 16 kernel_size: 5 stride: 4 pad: 2 weight_filler { type: "msra" } } }
layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }
"""


def scene(random):
    """(pictures of a square each in noise, its box as MultiBoxLoss takes it)."""
    pictures = random.normal(0, 0.1, (COUNT, 1, SIZE, SIZE))
    table = np.zeros((COUNT, 8))
    for i, (x, y, side) in enumerate(zip(*random.integers((0, 0, 8), (20, 20, 13), (COUNT, 3)).T)):
        pictures[i, 0, y : y + side, x : x + side] += 1
        table[i] = i, 1, 0, x / SIZE, y / SIZE, (x + side) / SIZE, (y + side) / SIZE, 0
    return pictures, table


def overlap(a, b):
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = np.prod(np.maximum(sides, 0))
    return common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)


def test_a_detector_learns_to_find_squares(tmp_path):
    (tmp_path / 'net.prototxt').write_text(NET + ssd_head('c2', classes=2, side=10, most=1))
    (tmp_path / 'solver.prototxt').write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.003 lr_policy: "fixed" type: "Adam" momentum: 0.9 momentum2: 0.999 '
        f'random_seed: 1 max_iter: 1000 snapshot_prefix: "{tmp_path}/s"'
    )
    random, solver, losses = np.random.default_rng(0), caffe.get_solver(str(tmp_path / 'solver.prototxt')), []
    for _ in range(150):
        solver.net.blobs['data'].data[...], solver.net.blobs['label'].data[0, 0] = scene(random)
        solver.step(1)
        losses.append(float(solver.net.blobs['loss'].data))
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    net = caffe.Net(str(tmp_path / 'net.prototxt'), caffe.TEST)
    net.share_with(solver.net)
    net.blobs['data'].data[...], truth = scene(random)
    found = net.forward()['found'][0, 0]
    assert found[:, 0].tolist() == list(range(COUNT))
    assert np.mean([overlap(row[3:], box[3:7]) for row, box in zip(found, truth)]) > 0.5
