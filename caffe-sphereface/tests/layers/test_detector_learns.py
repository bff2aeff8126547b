"""A small SSD learns to find one bright square: default boxes, matching, mining, losses and what it finds then."""

import numpy as np

import caffe

SIZE, COUNT = 32, 8
NET = """
layer { name: "data" type: "Input" top: "x" top: "gt" include { phase: TRAIN }
        input_param { shape { dim: 8 dim: 1 dim: 32 dim: 32 } shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
layer { name: "seen" type: "Input" top: "x" include { phase: TEST }
        input_param { shape { dim: 8 dim: 1 dim: 32 dim: 32 } } }
layer { name: "c1" type: "Convolution" bottom: "x" top: "c1"
        convolution_param { num_output: 8 kernel_size: 5 stride: 2 pad: 2 weight_filler { type: "msra" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2"
        convolution_param { num_output: 16 kernel_size: 5 stride: 4 pad: 2 weight_filler { type: "msra" } } }
layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }
layer { name: "l" type: "Convolution" bottom: "c2" top: "l"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "lp" type: "Permute" bottom: "l" top: "lp" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "lf" type: "Flatten" bottom: "lp" top: "lf" }
layer { name: "c" type: "Convolution" bottom: "c2" top: "c"
        convolution_param { num_output: 2 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "cp" type: "Permute" bottom: "c" top: "cp" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "cf" type: "Flatten" bottom: "cp" top: "cf" }
layer { name: "p" type: "PriorBox" bottom: "c2" bottom: "x" top: "p"
        prior_box_param { min_size: 10 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }
layer { name: "loss" type: "MultiBoxLoss" bottom: "lf" bottom: "cf" bottom: "p" bottom: "gt" top: "loss"
        include { phase: TRAIN } propagate_down: true propagate_down: true propagate_down: false propagate_down: false
        multibox_loss_param { num_classes: 2 code_type: CENTER_SIZE overlap_threshold: 0.4 } }
layer { name: "cr" type: "Reshape" bottom: "cf" top: "cr" include { phase: TEST }
        reshape_param { shape { dim: 0 dim: -1 dim: 2 } } }
layer { name: "s" type: "Softmax" bottom: "cr" top: "s" include { phase: TEST } softmax_param { axis: 2 } }
layer { name: "sf" type: "Flatten" bottom: "s" top: "sf" include { phase: TEST } }
layer { name: "found" type: "DetectionOutput" bottom: "lf" bottom: "sf" bottom: "p" top: "found"
        include { phase: TEST } detection_output_param { num_classes: 2 code_type: CENTER_SIZE keep_top_k: 1
        confidence_threshold: 0.01 nms_param { nms_threshold: 0.45 top_k: 100 } } }
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
    (tmp_path / 'net.prototxt').write_text(NET)
    (tmp_path / 'solver.prototxt').write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.003 lr_policy: "fixed" type: "Adam" momentum: 0.9 momentum2: 0.999 '
        f'random_seed: 1 max_iter: 1000 snapshot_prefix: "{tmp_path}/s"'
    )
    random, solver, losses = np.random.default_rng(0), caffe.get_solver(str(tmp_path / 'solver.prototxt')), []
    for _ in range(150):
        solver.net.blobs['x'].data[...], solver.net.blobs['gt'].data[0, 0] = scene(random)
        solver.step(1)
        losses.append(float(solver.net.blobs['loss'].data))
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    net = caffe.Net(str(tmp_path / 'net.prototxt'), caffe.TEST)
    net.share_with(solver.net)
    net.blobs['x'].data[...], truth = scene(random)
    found = net.forward()['found'][0, 0]
    assert found[:, 0].tolist() == list(range(COUNT))
    assert np.mean([overlap(row[3:], box[3:7]) for row, box in zip(found, truth)]) > 0.5
