"""Every reader computes the same outputs from the files that are written for it."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from masking import randomize
from repository import ROOT
from sphereslim.net.opened import load_net, open_net
from sphereslim.net.prototxt import read_net, write_prototxt
from sphereslim.rewrite import shrink

from caffe.export.ncnn.files import export_ncnn
from caffe.export.onnx_file import export_onnx
from readers import in_ncnn, in_onnxruntime, in_opencv, in_opencv4, in_other_environment

SHARED = Path(os.environ.get('SHARED', ROOT.parent / 'shared')) / 'data'
PUBLISHED = {
    'MobileFaceNet': 'mobilefacenet/deploy.prototxt mobilefacenet/mobilefacenet.caffemodel',
    **{f'MTCNN {name}': f'mtcnn/{name}.prototxt mtcnn/{name}.caffemodel' for name in ('det1', 'det2', 'det3')},
}
OWN = ('sphereface-4', 'sphereface-4-bn', 'mobilenet-4')
READERS = ('ncnn', 'onnxruntime', 'opencv4', 'opencv4 onnx', 'opencv5', 'openvino')
THROUGH_ONNX = {
    'onnxruntime': in_onnxruntime,
    'opencv4 onnx': in_opencv,
    'opencv5': partial(in_other_environment, 'opencv5'),
    'openvino': partial(in_other_environment, 'openvino'),
}


def outputs_in(reader, net, folder):
    """{output: array} of a net with weights for the values of its inputs, by way of the reader's own files."""
    inputs = {name: net.blobs[name].data for name in net.inputs}
    if reader == 'ncnn':
        export_ncnn(net, str(folder / 'net.param'))
        return {name: array[None] for name, array in in_ncnn(folder / 'net.param', inputs, net.outputs).items()}
    if reader == 'opencv4':
        net.save(str(folder / 'net.caffemodel'))
        return in_opencv4(folder / 'net.prototxt', folder / 'net.caffemodel', inputs, net.outputs)
    export_onnx(net, str(folder / 'net.onnx'))
    return THROUGH_ONNX[reader](folder / 'net.onnx', inputs, net.outputs)


def assert_agrees(reader, net, folder):
    for name in net.inputs:
        net.blobs[name].data[...] = np.random.default_rng(1).normal(0, 1, net.blobs[name].data.shape)
    wanted = {name: array.copy() for name, array in net.forward().items()}
    got = outputs_in(reader, net, folder)
    for name, want in wanted.items():
        bound = 1e-4 * max(1, np.abs(want).max())
        np.testing.assert_allclose(got[name].reshape(want.shape), want, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize('name', OWN)
@pytest.mark.parametrize('reader', READERS)
def test_nets_of_the_repository_give_the_same_outputs(reader, name, tmp_path):
    param = shrink(read_net(ROOT / f'prototxt/{name}/deploy.prototxt'), 0.25, keep_last=0)
    write_prototxt(tmp_path / 'net.prototxt', param)
    net = open_net(param)
    randomize(net, np.random.default_rng(0))
    assert_agrees(reader, net, tmp_path)


@pytest.mark.parametrize('name', PUBLISHED)
@pytest.mark.parametrize('reader', READERS)
def test_published_nets_give_the_same_outputs(reader, name, tmp_path):
    if not SHARED.is_dir():
        pytest.skip(f'{SHARED} is not there')
    deploy, weights = (SHARED / path for path in PUBLISHED[name].split())
    (tmp_path / 'net.prototxt').write_bytes(deploy.read_bytes())
    assert_agrees(reader, load_net(deploy, weights), tmp_path)
