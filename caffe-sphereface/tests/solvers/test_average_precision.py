"""Tests of detectors: which detections are right, and the average precision of them."""

import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2
from caffe.proto.files import parse_text
from caffe.solvers import average_precision
from caffe.solvers.average_precision import class_precisions

LAYER = """
layer { name: "evaluate" type: "DetectionEvaluate" bottom: "found" bottom: "truth" top: "eval"
  detection_evaluate_param { num_classes: 3 %s } }
"""
INPUTS = """
layer { name: "found" type: "Input" top: "found" input_param { shape { dim: 1 dim: 1 dim: %d dim: 7 } } }
layer { name: "truth" type: "Input" top: "truth" input_param { shape { dim: 1 dim: 1 dim: %d dim: 8 } } }
"""
A, B, FAR = (0.1, 0.1, 0.5, 0.5), (0.5, 0.5, 0.9, 0.9), (0.0, 0.8, 0.1, 0.9)
PART = (0.1, 0.1, 0.5, 0.32)  # 0.55 of A


def net_of(found, truth, extra):
    text = INPUTS % (len(found), len(truth)) + LAYER % extra
    net = caffe.Net(parse_text(text, caffe_pb2.NetParameter(), 'net'), caffe.TEST)
    net.blobs['found'].data[...] = np.array(found, 'f4').reshape(1, 1, -1, 7)
    net.blobs['truth'].data[...] = np.array(truth, 'f4').reshape(1, 1, -1, 8)
    return net


def rows(found, truth, extra=''):
    """The rows of the top without the counts, and the counts by label."""
    net = net_of(found, truth, extra)
    net.forward()
    out = net.blobs['eval'].data.reshape(-1, 5).astype(float).round(4).tolist()
    return [row for row in out if row[0] >= 0], {row[1]: row[2] for row in out if row[0] < 0}


def true_box(image, label, box, difficult=0):
    return (image, label, 0, *box, difficult)


def test_a_true_box_makes_one_detection_right_the_best_one():
    found = [(0, 1, 0.4, *A), (0, 1, 0.9, *A), (0, 1, 0.8, *FAR), (0, 2, 0.7, *A), (1, 1, 0.6, *B)]
    detections, counts = rows(found, [true_box(0, 1, A), true_box(1, 1, B), true_box(-1, 2, A)])
    assert counts == {1: 2, 2: 0}
    assert detections == [[0, 1, 0.9, 1, 0], [0, 1, 0.8, 0, 1], [0, 1, 0.4, 0, 1], [0, 2, 0.7, 0, 1], [1, 1, 0.6, 1, 0]]


def test_a_detection_must_overlap_enough():
    found, truth = [(0, 1, 0.9, *PART)], [true_box(0, 1, A)]
    assert rows(found, truth)[0] == [[0, 1, 0.9, 1, 0]]
    assert rows(found, truth, 'overlap_threshold: 0.6')[0] == [[0, 1, 0.9, 0, 1]]


def test_difficult_boxes_count_or_are_passed_over():
    found, truth = [(0, 1, 0.9, *A), (0, 1, 0.8, *A)], [true_box(0, 1, A, 1)]
    assert rows(found, truth) == ([[0, 1, 0.9, 1, 0], [0, 1, 0.8, 0, 1]], {1: 1, 2: 0})
    assert rows(found, truth, 'evaluate_difficult_gt: false') == ([[0, 1, 0.9, 0, 0], [0, 1, 0.8, 0, 0]], {1: 0, 2: 0})


def test_nothing_found_leaves_the_counts():
    assert rows([(0, -1, -1, -1, -1, -1, -1)], [true_box(0, 2, A)]) == ([], {1: 0, 2: 1})


def test_boxes_in_pixels_include_their_ends(tmp_path):
    (tmp_path / 'sizes').write_text('a.jpg 10 10\nb c.jpg 1000 1000\n')
    extra = f'overlap_threshold: 0.6 name_size_file: "{tmp_path}/sizes"'
    found = [(0, 1, 0.9, *PART), (1, 1, 0.9, *PART)]
    # 5 · 3.2 of 5 · 5 pixels, and 401 · 221 of 401 · 401
    assert rows(found, [true_box(0, 1, A), true_box(1, 1, A)], extra)[0] == [[0, 1, 0.9, 1, 0], [1, 1, 0.9, 0, 1]]


@pytest.mark.parametrize(
    'content, message', [('a.jpg 10\n', r'sizes:1: "a.jpg 10", expected a name'), ('', 'is empty')]
)
def test_a_file_of_sizes_that_is_none_is_refused(tmp_path, content, message):
    (tmp_path / 'sizes').write_text(content)
    with pytest.raises(caffe.CaffeError, match=message):
        rows([(0, 1, 0.9, *A)], [true_box(0, 1, A)], f'name_size_file: "{tmp_path}/sizes"')


@pytest.mark.parametrize(
    'version, expected',
    [
        # right, wrong, right, wrong of 4: precision 1, 1/2, 2/3, 1/2 at recall 1/4, 1/4, 1/2, 1/2
        ('11point', (3 * 1 + 3 * 2 / 3) / 11),
        ('MaxIntegral', 1 / 4 + 1 / 4 * 2 / 3),
        ('Integral', 1 / 4 + 1 / 4 * 2 / 3),
    ],
)
def test_average_precisions(version, expected):
    value = average_precision.average_precision([0.9, 0.6, 0.7, 0.8], [1, 0, 1, 0], 4, version)
    assert value == pytest.approx(expected)


def test_integrals_differ_where_precision_rises():
    wrong_first = ([0.9, 0.8, 0.7], [0, 1, 1], 2)
    assert average_precision.average_precision(*wrong_first, 'Integral') == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert average_precision.average_precision(*wrong_first, 'MaxIntegral') == pytest.approx(2 / 3)


def test_classes_without_detections_count_as_nothing_found():
    table = np.array([[-1, 1, 2, -1, -1], [-1, 2, 1, -1, -1], [0, 1, 0.9, 1, 0], [0, 1, 0.8, 0, 0], [-1, 1, 2, -1, -1]])
    assert class_precisions(table, 'Integral') == {1: pytest.approx(1 / 4), 2: 0}


def detector(folder, extra=''):
    (folder / 'train.prototxt').write_text(
        'layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param { shape { dim: 2 dim: 2 } } }'
        'layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "t" top: "loss" }'
    )
    (folder / 'test.prototxt').write_text(INPUTS % (2, 2) + LAYER % '')
    path = folder / 'solver.prototxt'
    path.write_text(
        f'train_net: "{folder}/train.prototxt" test_net: "{folder}/test.prototxt" test_iter: 2 test_interval: 5 '
        f'base_lr: 0 lr_policy: "fixed" max_iter: 1 eval_type: "detection" {extra}'
    )
    return caffe.get_solver(str(path))


def test_a_solver_reports_the_mean_average_precision(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(caffe.process_state.state.log, 'level', 0)
    solver = detector(tmp_path, 'ap_version: "11point" show_per_class_result: true')
    blobs = solver.test_nets[0].blobs
    blobs['found'].data[...] = np.array([(0, 1, 0.9, *A), (0, 2, 0.8, *FAR)], 'f4')
    blobs['truth'].data[...] = np.array([true_box(0, 1, A), true_box(0, 2, B)], 'f4')
    solver.test_all()
    lines = [line.split('] ', 1)[1] for line in capsys.readouterr().err.splitlines() if '] ' in line]
    assert lines[-3:] == ['class1: 1', 'class2: 0', '    Test net output #0: eval = 0.5']


@pytest.mark.parametrize(
    'extra, message',
    [
        ('ap_version: "7point"', "solver.prototxt: ap_version '7point', expected one of 11point"),
        ('eval_type: "segmentation"', "eval_type 'segmentation', expected classification or detection"),
    ],
)
def test_unknown_evaluations_are_refused(tmp_path, extra, message):
    with pytest.raises(caffe.CaffeError, match=message):
        parse = detector(tmp_path, '').param
        parse.MergeFrom(parse_text(extra, caffe_pb2.SolverParameter(), 's'))
        caffe.get_solver(parse, origin='solver.prototxt')


def test_outputs_of_another_kind_are_refused_for_detection(tmp_path):
    solver = detector(tmp_path)
    with pytest.raises(caffe.CaffeError, match="output 'loss' has shape .*expected the rows of DetectionEvaluate"):
        average_precision.testing(solver.net, 1, solver.param, lambda: False)
