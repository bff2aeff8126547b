"""A small MS-CNN is trained by `caffe train` from a window file, and goes on from a snapshot."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe.cli import main

REG = 'bbox_reg_param { bbox_mean: [0, 0, 0, 0] bbox_std: [0.1, 0.1, 0.2, 0.2] }'
NO_GRADIENT = 'propagate_down: false propagate_down: false'


def convolution(name, bottom, outputs, stride=1, std='type: "msra"'):
    fields = f'num_output: {outputs} kernel_size: 3 pad: 1 stride: {stride} weight_filler {{ {std} }}'
    ends = f'bottom: "{bottom}" top: "{name}"'
    return f'layer {{ name: "{name}" type: "Convolution" {ends} convolution_param {{ {fields} }} }}\n'


def relu(name):
    return f'layer {{ name: "{name}_relu" type: "ReLU" bottom: "{name}" top: "{name}" }}\n'


def scale(name, bottom, size, rate):
    """A map for boxes of about `size` pixels, its loss and its accuracy."""
    field = f'cls_num: 2 field_w: {size} field_h: {size} downsample_rate: {rate}'
    ends = f'bottom: "{name}" bottom: "{name}_label"'
    return (
        convolution(name, bottom, 6, std='type: "gaussian" std: 0.01')
        + f"""layer {{ name: "{name}_loss" type: "DetectionLoss" {ends} top: "{name}_loss"
          detection_loss_param {{ {field} sample_mode: "bootstrap" bg_multiple: 2 bg_threshold: 0.2
          pos_neg_weighted: true }} {REG} }}
        layer {{ name: "{name}_accuracy" type: "DetectionAccuracy" {ends} top: "{name}_accuracy" top: "{name}_iou"
          detection_accuracy_param {{ {field} }} {REG} }}\n"""
    )


NET = (
    """layer { name: "data" type: "ImageGtData" top: "data" top: "near_label" top: "far_label" top: "truth"
    transform_param { mirror: true mean_value: 110 } image_gt_data_param { source: "windows.txt" batch_size: 4
    scale: 0.01 crop_width: 64 crop_height: 64 downsample_rate: 4 downsample_rate: 8 field_w: 12 field_w: 24
    field_h: 12 field_h: 24 do_multiple_scale: true min_scale: 12 max_scale: 24 shuffle: true output_gt_boxes: true } }
"""
    + convolution('c1', 'data', 8, 2)
    + relu('c1')
    + convolution('c2', 'c1', 12, 2)
    + relu('c2')
    + scale('near', 'c2', 12, 4)
    + convolution('c3', 'c2', 16, 2)
    + relu('c3')
    + scale('far', 'c3', 24, 8)
    + f"""layer {{ name: "proposals" type: "BoxOutput" bottom: "near" bottom: "far" top: "proposals"
      box_output_param {{ fg_thr: -5 iou_thr: 0.65 field_w: [12, 24] field_h: [12, 24] downsample_rate: [4, 8]
      min_size: 4 max_nms_num: 100 }} {REG} {NO_GRADIENT} }}
    layer {{ name: "targets" type: "ProposalTarget" bottom: "proposals" bottom: "truth" top: "rois" top: "class"
      top: "codes" top: "inside" top: "outside" top: "matches" proposal_target_param {{ cls_num: 2 batch_size: 24
      num_img_per_batch: 4 fg_thr: 0.45 bg_thr_hg: 0.44 bg_thr_lw: 0.05 img_width: 64 img_height: 64 }} {REG} }}
    layer {{ name: "pool" type: "ROIPooling" bottom: "c2" bottom: "rois" top: "pool"
      roi_pooling_param {{ pooled_w: 3 pooled_h: 3 spatial_scale: 0.25 pad_ratio: 0.25 }} }}
    layer {{ name: "cls" type: "InnerProduct" bottom: "pool" top: "cls"
      inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "bbox" type: "InnerProduct" bottom: "pool" top: "bbox"
      inner_product_param {{ num_output: 8 weight_filler {{ type: "gaussian" std: 0.001 }} }} }}
    layer {{ name: "cls_loss" type: "SoftmaxWithLoss" bottom: "cls" bottom: "class" top: "cls_loss" }}
    layer {{ name: "bbox_loss" type: "SmoothL1Loss" bottom: "bbox" bottom: "codes" bottom: "inside" bottom: "outside"
      top: "bbox_loss" loss_weight: 1 }}
    layer {{ name: "iou" type: "BboxAccuracy" bottom: "bbox" bottom: "rois" bottom: "matches" top: "iou" {REG} }}
    layer {{ name: "next" type: "DecodeBBox" bottom: "bbox" bottom: "rois" bottom: "matches" top: "next" {REG} }}
    layer {{ name: "targets2" type: "ProposalTarget" bottom: "next" bottom: "truth" top: "rois2" top: "class2"
      top: "codes2" top: "inside2" top: "outside2" top: "matches2" proposal_target_param {{ cls_num: 2 batch_size: -1
      num_img_per_batch: 4 fg_thr: 0.5 bg_thr_hg: 0.5 bg_thr_lw: 0 img_width: 64 img_height: 64 }} {REG} }}
    layer {{ name: "grid" type: "ROIAlign" bottom: "c2" bottom: "rois2" top: "grid"
      roi_pooling_param {{ pooled_w: 3 pooled_h: 3 spatial_scale: 0.25 }} }}
    layer {{ name: "cls2" type: "InnerProduct" bottom: "grid" top: "cls2"
      inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "cls2_loss" type: "SoftmaxWithLoss" bottom: "cls2" bottom: "class2" top: "cls2_loss"
      loss_weight: 0.5 }}
    """
)
SOLVER = """net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 type: "Adam" random_seed: 3 max_iter: {}
snapshot: 10 snapshot_prefix: "s" display: 1"""


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Pictures of white squares in noise and their window file, the net, and its solver."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(caffe.process_state.state.log, 'level', 0)  # whatever GLOG_minloglevel hides
    random, lines = np.random.default_rng(0), []
    for i in range(12):
        image, boxes = random.normal(110, 12, (80, 90, 3)), []
        for left in (8, 50):
            size, top = int(random.integers(11, 28)), int(random.integers(2, 50))
            image[top : top + size, left : left + size] = 240
            boxes.append(f'1 0 {left} {top} {left + size} {top + size}')
        cv2.imwrite(f'{i}.png', image.clip(0, 255))
        lines += [f'# {i}', f'{i}.png', '3', '80', '90', '2', *boxes, '0']
    Path('windows.txt').write_text('\n'.join(lines))
    Path('net.prototxt').write_text(NET)


def losses(capfd, iterations, *more):
    """The losses that `caffe train` logs."""
    Path('solver.prototxt').write_text(SOLVER.format(iterations))
    assert main.main(['train', '-solver', 'solver.prototxt', *more]) == 0
    logged = re.findall(r'Iteration (\d+).*, loss = (\S+)', capfd.readouterr().err)
    return {int(number): float(value) for number, value in logged}


def test_a_cascade_of_proposals_trains_from_a_window_file_and_goes_on_from_a_snapshot(capfd):
    found = losses(capfd, 20)
    assert np.isfinite(list(found.values())).all()
    assert np.mean([found[i] for i in range(16, 20)]) < 0.8 * np.mean([found[i] for i in range(4)])
    again = losses(capfd, 24, '-snapshot', 's_iter_20.solverstate')
    assert min(again) >= 20 and np.mean([*again.values()]) < 0.8 * np.mean([found[i] for i in range(4)])
