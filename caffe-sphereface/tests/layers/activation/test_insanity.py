"""Insanity: slopes are drawn in TRAIN, and their mean divides in TEST, in every file that is written."""

import cv2
import numpy as np
import pytest

import caffe
from caffe.export.bvlc.conversion import to_bvlc
from caffe.export.onnx_file import export_onnx
from caffe.proto.files import write_text_message
from gradcheck import check_gradient
from layer_case import layer, make_net, run

TEXT = layer('Insanity', extra='insanity_param { lb: 3 ub: 8 }')
SHAPES = {'x': (4, 5, 6, 7)}


def test_slopes_are_drawn_for_each_value_in_train():
    net = make_net(TEXT, SHAPES, caffe.TRAIN)
    diffs = run(net)
    x, y = net.blobs['x'].data, net.blobs['y'].data
    np.testing.assert_array_equal(y[x > 0], x[x > 0])
    divisors = (x / y)[x < 0]
    assert divisors.min() >= 3 - 1e-5 and divisors.max() <= 8 + 1e-5
    assert abs(divisors.mean() - 5.5) < 0.4 and len(np.unique(divisors)) > 300
    np.testing.assert_allclose(net.blobs['x'].diff, diffs['y'] * y / x, rtol=1e-5)


@pytest.mark.parametrize('top', ['y', 'x'])
def test_test_divides_by_the_logarithmic_mean(top):
    net = make_net(TEXT.replace('top: "y"', f'top: "{top}"'), SHAPES)
    x = net.blobs['x'].data.copy()
    net.forward()
    np.testing.assert_allclose(net.blobs[top].data, np.where(x > 0, x, x * np.log(8 / 3) / 5), rtol=1e-6)
    check_gradient(TEXT, SHAPES)


def test_bounds_have_to_be_in_order():
    with pytest.raises(caffe.CaffeError, match='lb is 5, ub 4, expected 0 < lb < ub'):
        make_net(TEXT.replace('lb: 3 ub: 8', 'ub: 4'), SHAPES)


def test_files_for_others_have_the_slope_of_the_test_phase(tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    net = make_net(TEXT, {'x': (1, 5, 6, 7)}, force_backward=False)
    net.forward()
    export_onnx(net, str(tmp_path / 'n.onnx'))
    session = onnxruntime.InferenceSession(str(tmp_path / 'n.onnx'), providers=['CPUExecutionProvider'])
    (found,) = session.run(['y'], {'x': net.blobs['x'].data})
    np.testing.assert_allclose(found, net.blobs['y'].data, rtol=1e-5)
    write_text_message(str(tmp_path / 'n.prototxt'), to_bvlc(net).param)
    opened = cv2.dnn.readNetFromCaffe(str(tmp_path / 'n.prototxt'))
    opened.setInput(net.blobs['x'].data)
    np.testing.assert_allclose(opened.forward(), net.blobs['y'].data, rtol=1e-5)
