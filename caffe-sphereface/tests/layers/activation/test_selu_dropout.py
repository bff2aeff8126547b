"""SeLuDropout keeps mean and variance in TRAIN and passes on in TEST; SeLu and it in every file that is written."""

import cv2
import numpy as np
import pytest

import caffe
from caffe.export.bvlc.conversion import to_bvlc
from caffe.export.onnx_file import export_onnx
from caffe.proto.files import write_text_message
from layer_case import layer, make_net, run

TEXT = layer('SeLuDropout', extra='selu_dropout_param { dropout_ratio: 0.3 alpha: -1.5 }')
SHAPES = {'x': (16, 20, 21, 22)}


@pytest.mark.parametrize('top', ['y', 'x'])
def test_what_is_dropped_becomes_alpha_and_mean_and_variance_stay(top):
    net = make_net(TEXT.replace('top: "y"', f'top: "{top}"'), SHAPES, caffe.TRAIN)
    x = np.random.default_rng(1).normal(size=SHAPES['x']).astype('f4')
    net.blobs['x'].data[...] = x
    a = (0.7 * (1 + 1.5**2 * 0.3)) ** -0.5
    net.forward()
    y = net.blobs[top].data.copy()
    kept = np.abs(y - (a * x + a * 0.3 * 1.5)) < 1e-5
    np.testing.assert_allclose(y[~kept], a * -1.5 + a * 0.3 * 1.5, rtol=1e-5)
    assert abs(kept.mean() - 0.7) < 0.01 and abs(y.mean()) < 0.01 and abs(y.var() - 1) < 0.02
    dy = np.random.default_rng(2).normal(size=y.shape).astype('f4')
    net.blobs[top].diff[...] = dy
    net.backward()
    np.testing.assert_allclose(net.blobs['x'].diff, np.where(kept, a * dy, 0), rtol=1e-5, atol=1e-7)


def test_test_passes_on_both_ways():
    net = make_net(TEXT, SHAPES)
    diffs = run(net)
    np.testing.assert_array_equal(net.blobs['y'].data, net.blobs['x'].data)
    np.testing.assert_array_equal(net.blobs['x'].diff, diffs['y'])


def test_a_ratio_has_to_leave_something():
    with pytest.raises(caffe.CaffeError, match='dropout_ratio is 1, expected at least 0 and less than 1'):
        make_net(TEXT.replace('0.3', '1'), SHAPES)


def test_files_for_others_hold_both(tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    text = layer('SeLu', 'x', 'h', 'selu_param { lambda: 1.2 alpha: 0.7 }').replace('"layer"', '"selu"')
    net = make_net(text + TEXT.replace('bottom: "x"', 'bottom: "h"'), {'x': (1, 5, 6, 7)}, force_backward=False)
    net.forward()
    export_onnx(net, str(tmp_path / 'n.onnx'))
    session = onnxruntime.InferenceSession(str(tmp_path / 'n.onnx'), providers=['CPUExecutionProvider'])
    (found,) = session.run(['y'], {'x': net.blobs['x'].data})
    np.testing.assert_allclose(found, net.blobs['y'].data, rtol=1e-5, atol=1e-6)
    write_text_message(str(tmp_path / 'n.prototxt'), to_bvlc(net).param)
    opened = cv2.dnn.readNetFromCaffe(str(tmp_path / 'n.prototxt'))
    opened.setInput(net.blobs['x'].data)
    np.testing.assert_allclose(opened.forward(), net.blobs['y'].data, rtol=1e-5, atol=1e-6)
