"""Pruned and dequantized nets in OpenCV's Caffe importer: the same outputs as here."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from masking import outputs, pruned
from repository import ROOT
from sphereslim.channels.groups import Groups
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import parse_net, read_net
from sphereslim.net.weights import read_weights
from sphereslim.pruning.model import Model
from sphereslim.rewrite import shrink
from sphereslim.rewrite.scaled import resized
from sphereslim.studies.prune_runs import convolution_groups

PROTOTXT = ROOT / 'prototxt'
NETS = {
    'sphereface-4': None,
    'sphereface-10': None,
    'sphereface-20': None,
    'sphereface-4-bn': None,
    'sphereface-36': None,
    'sphereface-64': None,
    'mobilenet-4': None,
    'mobilenet-10': None,
    'vgg16': 64,
    'webface': None,
}
BRANCHES = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 12, 10] } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
        convolution_param { num_output: 8 kernel_size: 3 pad: 1 } }
layer { name: "a_norm" type: "BatchNorm" bottom: "a" top: "a" batch_norm_param { use_global_stats: true } }
layer { name: "a_scale" type: "Scale" bottom: "a" top: "a" scale_param { bias_term: true } }
layer { name: "a_relu" type: "PReLU" bottom: "a" top: "a" }
layer { name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param { num_output: 6 kernel_size: 1 } }
layer { name: "c" type: "Convolution" bottom: "a" top: "c"
        convolution_param { num_output: 8 group: 8 kernel_size: 3 pad: 1 bias_term: false } }
layer { name: "joined" type: "Concat" bottom: "b" bottom: "c" top: "joined" }
layer { name: "pool" type: "Pooling" bottom: "joined" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
"""

pytestmark = pytest.mark.skipif(
    not hasattr(cv2.dnn, 'readNetFromCaffe') or int(cv2.__version__.split('.')[0]) >= 5,
    reason=f'OpenCV {cv2.__version__} has no Caffe importer, 4.x has',
)


def in_opencv(model, picture, folder):
    deploy, weights = model.save(folder)
    net = cv2.dnn.readNetFromCaffe(str(deploy), str(weights))
    net.setInput(picture)
    return net.forward()


def check(model, folder):
    net = open_net(model.net, model.weights)
    picture = np.random.default_rng(1).normal(0, 1, net.blobs[net.inputs[0]].data.shape).astype('f')
    (ours,) = outputs(net, {net.inputs[0]: picture}).values()
    theirs = in_opencv(model, picture, folder)
    np.testing.assert_allclose(theirs.reshape(ours.shape), ours, atol=1e-4 * max(1, np.abs(ours).max()))


@pytest.mark.parametrize('name', NETS)
def test_pruned_networks_give_the_same_outputs(name, tmp_path):
    net = read_net(PROTOTXT / name / 'deploy.prototxt')
    if not name.startswith('mobilenet'):
        net = shrink(net, 0.25, keep_last=0)
    net = resized(net, NETS[name]) if NETS[name] else net
    check(pruned(net, convolution_groups(PROTOTXT / name, trunk=True)), tmp_path)


def test_concats_norms_and_depthwise_convolutions_do_too(tmp_path):
    check(pruned(parse_net(BRANCHES), ['a', 'b']), tmp_path)


def quantized_there_and_back(deploy, weights, folder):
    """A caffemodel that the commands `quantize` and `dequantize` made, each a process of its own."""
    small, back = folder / 'small.qcaffemodel', folder / 'back.caffemodel'
    for words in (
        ['quantize', weights, '--out', small, '--scheme', 'linear-filter', '--bits', '6', '--deploy', deploy],
        ['dequantize', small, '--out', back, '--deploy', deploy],
    ):
        subprocess.run([sys.executable, PROTOTXT.parent / 'python/quantize.py', *words], check=True)
    return back


def test_a_dequantized_net_does_too(tmp_path):
    deploy, weights = pruned(parse_net(BRANCHES), ['a']).save(tmp_path)
    back = read_weights(quantized_there_and_back(deploy, weights, tmp_path))
    assert back != read_weights(weights)
    net = read_net(deploy)
    check(Model(net, back, Groups(net)), tmp_path)


def test_a_dequantized_published_model_does_too(tmp_path):
    shared = Path(os.environ.get('SHARED', PROTOTXT.parent.parent / 'shared')) / 'data/mobilefacenet'
    if not shared.is_dir():
        pytest.skip(f'{shared} is not there')
    deploy = shared / 'deploy.prototxt'
    back = quantized_there_and_back(deploy, shared / 'mobilefacenet.caffemodel', tmp_path)
    net = read_net(deploy)
    check(Model(net, read_weights(back), Groups(net)), tmp_path)
