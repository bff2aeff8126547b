"""What the tools do with random nets of all inference layers: costs, ONNX, quantizing, drawing."""

from math import prod

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from masking import outputs, randomize
from random_nets import NETS, NOT_IN_ONNX, nets_of
from sphereslim.net.costs import measure
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.weights import blob_array
from sphereslim.quantization.file import read_quantized, write_quantized
from sphereslim.quantization.quantize_net import dequantize, quantize_net

from caffe import draw
from caffe.export.onnx_file import export_onnx

FEW = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
# layers that multiply by the weights of their first blob
MATRICES = ('Convolution', 'DepthwiseConvolution', 'ConvolutionDepthwise', 'Deconvolution', 'InnerProduct')


def filled(proto):
    """(caffe.Net with random weights, values of its inputs)."""
    rng = np.random.default_rng(1)
    net = open_net(proto)
    randomize(net, rng)
    return net, {name: rng.normal(0, 1, net.blobs[name].data.shape).astype('f') for name in net.inputs}


@given(NETS)
@FEW
def test_multiply_accumulates_are_those_of_every_weight_at_every_place(proto):
    net = open_net(proto)
    shapes = {name: blob.data.shape for name, blob in net.blobs.items()}
    expected = dict.fromkeys((layer.name for layer in proto.layer), 0)
    for layer in proto.layer:
        if layer.type in MATRICES:
            place = shapes[layer.bottom[0] if layer.type == 'Deconvolution' else layer.top[0]]
            expected[layer.name] = net.params[layer.name][0].data.size * place[0] * prod(place[2:])
    assert {stats.name: stats.macs for stats in measure(proto)} == expected


@given(nets_of(*NOT_IN_ONNX))
@FEW
def test_onnxruntime_gives_the_outputs_of_the_net(tmp_path, proto):
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnx')
    net, inputs = filled(proto)
    wanted = outputs(net, inputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    export_onnx(net, str(tmp_path / 'net.onnx'))
    session = onnxruntime.InferenceSession(str(tmp_path / 'net.onnx'), options, providers=['CPUExecutionProvider'])
    found = session.run(list(wanted), {one.name: inputs[one.name] for one in session.get_inputs()})
    for (name, want), have in zip(wanted.items(), found):
        np.testing.assert_allclose(have, want, rtol=0, atol=1e-4 * max(1, np.abs(want).max()), err_msg=name)


@given(NETS)
@FEW
def test_quantized_files_hold_the_weights_and_keep_vectors(tmp_path, proto):
    net, inputs = filled(proto)
    weights = weights_of(net)
    write_quantized(quantize_net(weights, 10, 'linear'), tmp_path / 'net.qcaffemodel', 'zlib')
    again = dequantize(read_quantized(tmp_path / 'net.qcaffemodel'))
    for layer, before in zip(again.layer, [layer for layer in weights.layer if layer.blobs], strict=True):
        for blob, old in zip(map(blob_array, layer.blobs), map(blob_array, before.blobs), strict=True):
            is_matrix = sum(size > 1 for size in old.shape) > 1
            # half a step of 1023 between the smallest and the largest
            step = (old.max() - old.min()) / 1023 if is_matrix else 0
            assert np.abs(blob - old).max(initial=0) <= 0.51 * step, layer.name
    assert all(np.isfinite(values).all() for values in outputs(open_net(proto, again), inputs).values())


@given(NETS)
@FEW
def test_every_layer_has_its_place_in_the_drawing(proto):
    for layer in proto.layer:
        assert layer.name in draw.get_layer_label(layer, 'TB')
    pytest.importorskip('pydot')
    nodes = {node.get_name() for node in draw.get_pydot_graph(proto, 'TB').get_nodes()}
    assert {f'"{layer.name}_{layer.type}"' for layer in proto.layer} <= nodes
