"""Nets over clips (C3D): channels are removed through convolutions and pooling over time, costs and ONNX follow."""

import numpy as np
import pytest
from masking import assert_pruned_is_masked, outputs, randomize
from sphereslim.channels.groups import Groups
from sphereslim.net.costs import measure
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import read_net

from caffe.export.onnx_file import export_onnx
from readers import in_onnxruntime

FIRST = """input: "data" input_shape { dim: 2 dim: 3 dim: 4 dim: 12 dim: 12 }
layers { name: "conv1a" type: CONVOLUTION3D bottom: "data" top: "conv1a" convolution_param { num_output: 6
    kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1 } }
layers { name: "relu1a" type: RELU bottom: "conv1a" top: "conv1a" }
layers { name: "pool1" type: POOLING3D bottom: "conv1a" top: "pool1" pooling_param { kernel_size: 2 kernel_depth: 1
    stride: 2 temporal_stride: 1 } }
layers { name: "conv2a" type: CONVOLUTION3D bottom: "pool1" top: "conv2a" convolution_param { num_output: 8
    kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1 } }
layers { name: "relu2a" type: RELU bottom: "conv2a" top: "conv2a" }
layers { name: "pool2" type: POOLING3D bottom: "conv2a" top: "pool2" pooling_param { pool: AVE kernel_size: 3
    kernel_depth: 2 stride: 2 temporal_stride: 2 pad: 1 } }
layers { name: "fc6" type: INNER_PRODUCT bottom: "pool2" top: "fc6" inner_product_param { num_output: 5 } }
layers { name: "relu6" type: RELU bottom: "fc6" top: "fc6" }
layers { name: "fc7" type: INNER_PRODUCT bottom: "fc6" top: "fc7" inner_product_param { num_output: 4 } }
"""
SECOND = """layer { name: "data" type: "Input" top: "data" input_param {
    shape { dim: 2 dim: 3 dim: 4 dim: 12 dim: 12 } } }
layer { name: "conv1" type: "Convolution3D" bottom: "data" top: "conv1" convolution3d_param { num_output: 6
    kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1 stride: 2 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "branch" type: "Convolution3D" bottom: "conv1" top: "branch" convolution3d_param { num_output: 6
    kernel_size: 1 kernel_depth: 1 } }
layer { name: "sum" type: "Eltwise" bottom: "conv1" bottom: "branch" top: "sum" }
layer { name: "up" type: "Deconvolution3D" bottom: "sum" top: "up" convolution3d_param { num_output: 5
    kernel_size: 4 kernel_depth: 4 pad: 1 temporal_pad: 1 stride: 2 temporal_stride: 2 } }
layer { name: "last" type: "Convolution3D" bottom: "up" top: "last" convolution3d_param { num_output: 2
    kernel_size: 1 kernel_depth: 1 } }
"""
NETS = {
    'first version': (FIRST, {'conv1a': 6, 'conv2a': 8, 'fc6': 5}),
    'second version': (SECOND, {'conv1': 6, 'up': 5}),
}


@pytest.fixture(params=NETS)
def case(request, tmp_path):
    """(net, whole net with random weights, its inputs, {group: size})."""
    text, sizes = NETS[request.param]
    (tmp_path / 'net.prototxt').write_text(text)
    proto = read_net(tmp_path / 'net.prototxt')
    rng = np.random.default_rng(0)
    whole = open_net(proto)
    randomize(whole, rng)
    return proto, whole, {'data': rng.normal(0, 1, (2, 3, 4, 12, 12))}, sizes


def test_pruned_equals_masked(case):
    proto, whole, inputs, sizes = case
    groups = Groups(proto)
    assert {group.name: group.size for group in groups.prunable()} == sizes
    kept = {name: np.arange(0, size, 2) for name, size in sizes.items()}
    assert_pruned_is_masked(proto, whole, groups, kept, inputs)


def test_multiply_accumulates_are_counted_over_time_too(tmp_path):
    (tmp_path / 'net.prototxt').write_text(FIRST)
    rows = {row.name: row.macs for row in measure(read_net(tmp_path / 'net.prototxt'))}
    assert rows['conv1a'] == 2 * 6 * 3 * 27 * 4 * 12 * 12
    assert rows['conv2a'] == 2 * 8 * 6 * 27 * 4 * 6 * 6


def test_onnxruntime_computes_the_same(case, tmp_path):
    _, whole, inputs, _ = case
    expected = outputs(whole, inputs)
    export_onnx(whole, str(tmp_path / 'net.onnx'))
    found = in_onnxruntime(tmp_path / 'net.onnx', {'data': inputs['data'].astype('f')}, whole.outputs)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4 * max(1, np.abs(value).max()))
