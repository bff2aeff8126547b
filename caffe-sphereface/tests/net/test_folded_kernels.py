"""Chains of layers as one function: every kind that can start one gives what its layers give one by one."""

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.net.fused_groups import Group
from caffe.net.fused_segments import Segment
from caffe.proto import caffe_pb2

FILLERS = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "uniform" }'
NORM = 'BatchNorm batch_norm_param { eps: 0.01 }'
SCALE = 'Scale scale_param { bias_term: true filler { type: "uniform" max: 2 } bias_filler { type: "uniform" } }'
FACTOR = 'Scale scale_param { filler { type: "uniform" min: -2 max: 2 } }'
BN = 'BN bn_param { slope_filler { type: "uniform" max: 2 } bias_filler { type: "uniform" } frozen: true }'
FIXED = 'BN bn_param { bn_mode: INFERENCE scale_filler { type: "uniform" max: 2 } shift_filler { type: "uniform" } }'
RELU6, LEAKY6 = 'ReLU6', 'ReLU6 relu6_param { negative_slope: 0.1 }'
RELU, LEAKY, PRELU = 'ReLU', 'ReLU relu_param { negative_slope: 0.1 }', 'PReLU'


def product(extra=''):
    return f'InnerProduct inner_product_param {{ num_output: 5 {FILLERS} {extra} }}'


def places(extra=''):
    return f'Convolution convolution_param {{ num_output: 8 kernel_size: 1 {FILLERS} {extra} }}'


def depthwise(kind='DepthwiseConvolution', extra='num_output: 4 group: 4'):
    return f'{kind} convolution_param {{ kernel_size: 3 pad: 1 stride: 1 {extra} {FILLERS} }}'


def make(chain, shape):
    """A TEST net of layers l0, l1, … over a random input, with statistics that are not trivial."""
    dims = ' '.join(f'dim: {d}' for d in shape)
    text = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}'
    for i, (kind, _, param) in enumerate(each.partition(' ') for each in chain):
        bottom = f'l{i - 1}' if i else 'data'
        text += f'layer {{ name: "l{i}" type: "{kind}" bottom: "{bottom}" top: "l{i}" {param} }}\n'
    caffe.set_random_seed(3)
    net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TEST)
    random = np.random.default_rng(0)
    for layer in net.layers:
        if layer.type == 'BatchNorm':
            mean, variance, weight = (blob.data for blob in layer.blobs)
            mean[...], variance[...], weight[...] = random.normal(size=mean.shape), 1 + random.random(mean.shape), 0.7
    net.blobs['data'].data[...] = random.normal(size=shape)
    return net


@pytest.fixture
def folded(monkeypatch):
    """The types of the layers of each group that ran folded."""
    runs, run = [], Group.run

    def record(self):
        ran = run(self)
        runs.extend([[layer.type for layer in self.layers]] if ran else [])
        return ran

    monkeypatch.setattr(Group, 'run', record)
    return runs


PICTURES, VECTORS = (2, 4, 5, 6), (3, 4)
CHAINS = [
    ([NORM, SCALE], PICTURES),
    ([NORM, FACTOR, PRELU], PICTURES),
    ([FACTOR, NORM, RELU], PICTURES),
    ([SCALE, SCALE, LEAKY], (1, 4, 5, 6)),
    ([NORM, SCALE], VECTORS),
    ([NORM, SCALE, RELU], (2, 4, 3)),
    ([product(), NORM, SCALE], PICTURES),
    ([product('transpose: true'), NORM, PRELU], VECTORS),
    ([product('bias_term: false'), FACTOR, LEAKY], PICTURES),
    ([places()], PICTURES),
    ([places(), RELU], PICTURES),
    ([places(), NORM, LEAKY], (1, 4, 5, 6)),
    ([places('bias_term: false'), SCALE, PRELU], PICTURES),
    ([places('stride: 2'), RELU], PICTURES),
    ([places('group: 2'), NORM], PICTURES),
    ([depthwise()], PICTURES),
    ([depthwise(), NORM, SCALE, RELU], PICTURES),
    ([depthwise(), BN, RELU6], PICTURES),
    ([depthwise('ConvolutionDepthwise', 'num_output: 1'), FIXED, RELU6], PICTURES),
    ([places(), BN, LEAKY6], PICTURES),
    ([BN, FIXED, RELU6], VECTORS),
]


@pytest.mark.parametrize('chain, shape', CHAINS, ids=str)
@pytest.mark.parametrize('precision, tolerance', [('fp32', 1e-5), ('bf16', 0.03)])
def test_a_chain_is_what_its_layers_are_one_by_one(folded, chain, shape, precision, tolerance):
    net, last = make(chain, shape), f'l{len(chain) - 1}'
    caffe.set_precision(precision)
    try:
        expected = {name: blob.copy() for name, blob in net.forward(blobs=list(net.blobs)).items()}
        for _ in range(2):
            y = net.forward()[last].copy()
        assert folded == [[layer.split()[0] for layer in chain]] * 2
        np.testing.assert_allclose(y, expected[last], rtol=tolerance, atol=tolerance * np.abs(expected[last]).max())
        for name, values in expected.items():
            np.testing.assert_allclose(
                net.blobs[name].data, values, rtol=tolerance, err_msg=name, atol=tolerance * np.abs(values).max()
            )
    finally:
        caffe.set_precision('fp32')


@pytest.mark.parametrize(
    'chain',
    [
        [NORM],
        [BN, RELU6],
        ['BN bn_param { scale_filler { value: 1 } }', SCALE],
        [SCALE, RELU],
        [places('pad: 1'), RELU],
        [product()],
        [product(), RELU],
        [product('normalize: true'), NORM],
        ['BatchNorm batch_norm_param { use_global_stats: false }', 'ReLU'],
        ['Scale scale_param { axis: 0 num_axes: 1 }', 'Scale scale_param { axis: 2 }', RELU],
    ],
    ids=str,
)
def test_what_gains_nothing_or_is_no_factor_a_channel_runs_by_itself(folded, chain):
    net = make(chain, PICTURES)
    for _ in range(3):
        net.forward()
    assert folded == []


def test_layers_in_place_on_the_input_keep_it(folded):
    text = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 } } }
              layer { name: "norm" type: "BatchNorm" bottom: "data" top: "data" }
              layer { name: "scale" type: "Scale" bottom: "data" top: "data" }"""
    net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TEST)
    for name, values in (('norm', (0, 4, 1)), ('scale', (6,))):
        for blob, value in zip(net.params[name], values):
            blob.data[...] = value
    for _ in range(3):
        net.blobs['data'].data[...] = 2
        np.testing.assert_allclose(net.forward()['data'], 6, rtol=1e-4)
    assert folded == []


def test_a_product_stays_out_of_what_large_batches_go_through_in_chunks():
    net = make([places(), places(), NORM, product(), NORM], PICTURES)
    segment = next(each for fused in net.fused.values() for each in fused if isinstance(each, Segment))
    assert [layer.name for layer in segment.layers] == ['l0', 'l1', 'l2']
