"""A small YOLO of version 3 is trained by the command from a database, and finds what it has learned by heart."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe.cli import main
from caffe.data.annotated.annotation_files import ObjectBox
from caffe.data.annotated.annotations import annotated
from caffe.proto import caffe_pb2
from databases import write

SIDE = 48
ANCHORS = 'biases: [14, 14, 22, 22]'
DATA = f"""layer {{ name: "data" type: "AnnotatedData" top: "data" top: "label" include {{ phase: TRAIN }}
  transform_param {{ scale: 0.0078125 mean_value: 128 emit_constraint {{ }}
    resize_param {{ height: {SIDE} width: {SIDE} }} }}
  annotated_data_param {{ yolo_data_type: 1 yolo_data_jitter: 0 }}
  data_param {{ source: "scenes_lmdb" batch_size: 8 backend: LMDB }} }}
layer {{ name: "data" type: "Input" top: "data" include {{ phase: TEST }}
  input_param {{ shape {{ dim: 8 dim: 3 dim: {SIDE} dim: {SIDE} }} }} }}
"""
BODY = """
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
        convolution_param { num_output: 16 kernel_size: 5 stride: 2 pad: 2 weight_filler { type: "msra" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2"
        convolution_param { num_output: 32 kernel_size: 3 stride: 2 pad: 1 weight_filler { type: "msra" } } }
layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }
layer { name: "c3" type: "Convolution" bottom: "c2" top: "c3"
        convolution_param { num_output: 48 kernel_size: 3 stride: 2 pad: 1 weight_filler { type: "msra" } } }
layer { name: "r3" type: "ReLU" bottom: "c3" top: "c3" }
layer { name: "maps" type: "Convolution" bottom: "c3" top: "maps"
        convolution_param { num_output: 14 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
"""
HEADS = f"""
layer {{ name: "loss" type: "Yolov3" bottom: "maps" bottom: "label" top: "loss" include {{ phase: TRAIN }}
        yolov3_param {{ num: 2 num_class: 2 anchors_scale: 8 coord_scale: 1 thresh: 0.6 {ANCHORS} mask: [0, 1] }} }}
layer {{ name: "found" type: "Yolov3DetectionOutput" bottom: "maps" top: "found" include {{ phase: TEST }}
        yolov3_detection_output_param {{ num_classes: 2 num_box: 2 confidence_threshold: 0.3 nms_threshold: 0.4
        anchors_scale: 8 mask_group_num: 1 {ANCHORS} mask: [0, 1] }} }}
"""
SOLVER = """net: "net.prototxt" base_lr: 0.01 lr_policy: "step" stepsize: 130 gamma: 0.2 type: "Adam" momentum: 0.9
momentum2: 0.999 random_seed: 3 max_iter: 170 display: 10 snapshot_prefix: "s" """


def scene(index):
    """A picture (SIDE, SIDE, 3) of a red disc or a blue square, and its ObjectBox with label 1 or 2."""
    random = np.random.default_rng(index)
    picture, radius = random.normal(110, 12, (SIDE, SIDE, 3)), int(random.integers(6, 12))
    x, y = (int(value) for value in random.integers(radius, SIDE - radius, 2))
    if index % 2:
        cv2.rectangle(picture, (x - radius, y - radius), (x + radius, y + radius), (230, 60, 40), -1)
    else:
        cv2.circle(picture, (x, y), radius, (40, 40, 230), -1)
    return picture.clip(0, 255).astype(np.uint8), ObjectBox(
        1 + index % 2, x - radius, y - radius, x + radius, y + radius
    )


@pytest.fixture(autouse=True)
def logging(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(caffe.process_state.state.log, 'level', 0)  # whatever GLOG_minloglevel hides


def test_yolo_trains_and_finds_what_it_learned_by_heart(capfd):
    scenes = [scene(index) for index in range(8)]
    write(
        'scenes_lmdb',
        [
            annotated(
                caffe_pb2.Datum(data=cv2.imencode('.png', picture)[1].tobytes(), encoded=True), [box], SIDE, SIDE
            ).SerializeToString()
            for picture, box in scenes
        ],
    )
    Path('net.prototxt').write_text(DATA + BODY + HEADS)
    Path('solver.prototxt').write_text(SOLVER)
    assert main.main(['train', '-solver', 'solver.prototxt']) == 0
    losses = [float(loss) for loss in re.findall(r'loss = ([\d.]+)', capfd.readouterr().err)]
    assert losses[-1] < 0.1 * losses[0]
    net = caffe.Net('net.prototxt', 's_iter_170.caffemodel', caffe.TEST)
    net.blobs['data'].data[...] = [(picture.transpose(2, 0, 1) - 128.0) / 128 for picture, _ in scenes]
    rows = net.forward()['found'][0, 0]
    for index, (_, box) in enumerate(scenes):
        image, label, _, *corners = next(row for row in rows if row[0] == index)
        assert label == box.label
        np.testing.assert_allclose(corners, np.array(box[1:5]) / SIDE, atol=0.06)
