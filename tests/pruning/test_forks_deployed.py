"""Nets of forks on their way to a device: pruned, for OpenCV and as ONNX, and still the same outputs."""

import cv2
import fork_nets
import numpy as np
import pytest
from masking import outputs, pruned
from sphereslim.channels.groups import Groups
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import parse_net

import caffe
from caffe.cli.main import main

READS_CAFFE = hasattr(cv2.dnn, 'readNetFromCaffe') and int(cv2.__version__.split('.')[0]) < 5
NETS = {  # target of `caffe upgrade_net`, layers of forks in the net
    'mobile_face_net': ('bvlc', {'DepthwiseConvolution'}),
    'se_resnet': ('bvlc', {'Axpy'}),
    'shuffle_net': ('bvlc', {'ShuffleChannel', 'DepthwiseConvolution'}),
    'dense_net': ('bvlc', set()),
    'retina_face': ('bvlc', {'DepthwiseConvolution'}),
    'ssd': ('opencv', {'Permute', 'PriorBox', 'DetectionOutput', 'Normalize', 'DepthwiseConvolution'}),
}
BVLC = 'Input Convolution Deconvolution BatchNorm Scale ReLU PReLU Sigmoid Eltwise Concat Slice Silence Crop Reshape'
BVLC = {*BVLC.split(), 'Flatten', 'Pooling', 'Softmax', 'InnerProduct'}
OPENCV = {'Permute', 'PriorBox', 'DetectionOutput', 'Normalize'}


@pytest.fixture(params=NETS)
def deployed(request, tmp_path, monkeypatch):
    """(name, the pruned net, its outputs for a picture, the picture); its files are in the working directory."""
    monkeypatch.chdir(tmp_path)
    net = parse_net(getattr(fork_nets, request.param)())
    assert {layer.type for layer in net.layer} >= NETS[request.param][1]
    model = pruned(net, [group.name for group in Groups(net) if group.prunable])
    deploy, weights = model.save(tmp_path)
    deploy.rename('deploy.prototxt')
    weights.rename('net.caffemodel')
    opened = open_net(model.net, model.weights)
    picture = np.random.default_rng(1).normal(0, 1, opened.blobs['data'].data.shape).astype('f')
    expected = outputs(opened, {'data': picture})
    assert all(np.unique(values).size > 5 for values in expected.values())
    return request.param, model, expected, picture


def in_any_order(values):
    """Rows of boxes in an order of their own, other values as they are."""
    return np.array(sorted(values.reshape(-1, 7).tolist())) if values.shape[-1:] == (7,) else values


def assert_same(found, expected):
    found = found.reshape(expected.shape)
    np.testing.assert_allclose(in_any_order(found), in_any_order(expected), rtol=1e-4, atol=1e-4)


def test_a_pruned_net_is_smaller_and_its_form_for_others_gives_the_same(deployed):
    name, model, expected, picture = deployed
    target, _ = NETS[name]
    words = f'upgrade_net -to {target} -model deploy.prototxt -weights net.caffemodel -out new.prototxt'
    assert main(words.split()) == 0
    converted = caffe.Net('new.prototxt', 'new.caffemodel', caffe.TEST)
    assert {layer.type for layer in converted.layers} - {'Split'} <= BVLC | (OPENCV if target == 'opencv' else set())
    for blob, found in outputs(converted, {'data': picture}).items():
        assert_same(found, expected[blob])
    sizes = {group.name: group.size for group in Groups(parse_net(getattr(fork_nets, name)()))}
    assert all(2 * group.size <= sizes[group.name] + 1 for group in model.groups if group.prunable)


@pytest.mark.skipif(not READS_CAFFE, reason=f'OpenCV {cv2.__version__} has no Caffe importer, 4.x has')
def test_opencv_reads_the_pruned_net_and_gives_the_same(deployed):
    name, _, expected, picture = deployed
    words = f'upgrade_net -to {NETS[name][0]} -model deploy.prototxt -weights net.caffemodel -out new.prototxt'
    assert main(words.split()) == 0
    net = cv2.dnn.readNetFromCaffe('new.prototxt', 'new.caffemodel')
    net.setInput(picture)
    for found, wanted in zip(net.forward(list(expected)), expected.values(), strict=True):
        assert_same(found, wanted)


def test_onnxruntime_runs_the_pruned_net_with_the_same_outputs(deployed):
    onnxruntime = pytest.importorskip('onnxruntime')
    _, _, expected, picture = deployed
    assert main('export -onnx net.onnx -model deploy.prototxt -weights net.caffemodel'.split()) == 0
    session = onnxruntime.InferenceSession('net.onnx', providers=['CPUExecutionProvider'])
    for found, wanted in zip(session.run(list(expected), {'data': picture}), expected.values(), strict=True):
        assert_same(found, wanted)
