"""Nets of forks in BVLC's layers: the same outputs here and in OpenCV, or one line that says why not."""

import cv2
import numpy as np
import pytest

import caffe
from caffe.cli.upgrade import net_text
from caffe.errors import CaffeError
from caffe.export.bvlc import to_bvlc
from caffe.export.bvlc_layers import BVLC_TYPES
from caffe.proto import caffe_pb2
from caffe.proto.files import parse_text

FILL = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.5 max: 0.5 }'


def source(*dims, name='data'):
    shape = ' '.join(f'dim: {dim}' for dim in dims)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {shape} }} }} }}\n'


def layer(name, kind, bottoms, parameter='', top=None):
    ends = ''.join(f'bottom: "{bottom}" ' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {ends} top: "{top or name}" {parameter} }}\n'


def conv(name, bottom, outputs, kernel, extra='', kind='Convolution'):
    parameter = f'convolution_param {{ num_output: {outputs} kernel_size: {kernel} {extra} {FILL} }}'
    return layer(name, kind, bottom, parameter)


def made_net(text, seed=5):
    """The net of a prototxt with random values in all of its parameters, and random inputs."""
    caffe.set_random_seed(seed)
    net = caffe.Net(parse_text(text, caffe_pb2.NetParameter(), 'net'), caffe.TEST)
    rng = np.random.default_rng(seed)
    for one in net.layers:
        for i, blob in enumerate(one.blobs):
            positive = one.type in ('BN', 'BatchNorm') and i > 1
            blob.data[...] = rng.uniform(0.5 if positive else -1, 1.5 if positive else 1, blob.shape)
            if one.type == 'BatchNorm':
                blob.data[...] = np.abs(blob.data)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.normal(0, 2, net.blobs[name].shape)
    return net


def outputs(net, inputs):
    for name, values in inputs.items():
        net.blobs[name].data[...] = values
    return {name: np.array(values) for name, values in net.forward().items()}


NETS = {
    'DepthwiseConvolution': source(2, 4, 9, 8) + conv('c', 'data', 8, 3, 'group: 4', 'DepthwiseConvolution'),
    'ConvolutionDepthwise': source(2, 4, 9, 8)
    + conv('c', 'data', 99, 3, 'stride: 2 pad: 1 group: 7', 'ConvolutionDepthwise'),
    'ReLU6': source(3, 50) + layer('r', 'ReLU6', 'data'),
    'ReLU6 with a slope, in place': source(3, 50)
    + layer('s', 'Power', 'data', 'power_param { scale: 4 }')
    + layer('r', 'ReLU6', 's', 'relu6_param { negative_slope: 0.25 }', top='s')
    + layer('t', 'TanH', 's'),
    'Clip': source(3, 50) + layer('r', 'Clip', 'data', 'clip_param { min: 0 max: 1.5 }'),
    'Swish': source(3, 50) + layer('r', 'Swish', 'data', 'swish_param { beta: 1.5 }'),
    'Dropout': source(3, 50) + layer('r', 'Dropout', 'data', 'dropout_param { scale_train: false }'),
    'BN': source(2, 4, 5, 5) + layer('b', 'BN', 'data', 'bn_param { eps: 0.01 }', top='data'),
    'BN of SegNet': source(2, 4, 5, 5) + layer('b', 'BN', 'data', 'bn_param { bn_mode: INFERENCE }'),
    'NormL2': source(3, 7) + layer('n', 'NormL2', 'data'),
    'NormL2 of maps': source(3, 4, 5, 6) + layer('n', 'NormL2', 'data'),
    'Axpy': source(2, 4, 1, 1, name='a') + source(2, 4, 5, 6) + layer('x', 'Axpy', 'a data data'),
    'ShuffleChannel': source(2, 6, 4, 5) + layer('s', 'ShuffleChannel', 'data', 'shuffle_channel_param { group: 3 }'),
    'ShuffleChannel of one group': source(2, 6, 4, 5) + layer('s', 'ShuffleChannel', 'data'),
    'Permute of single values': source(2, 6, 1, 1)
    + layer('p', 'Permute', 'data', 'permute_param { order: 0 order: 2 order: 3 order: 1 }'),
    'Upsample': source(2, 3, 4, 5) + layer('u', 'Upsample', 'data', 'upsample_param { scale: 3 }'),
    'InnerProduct': source(2, 3, 4, 5)
    + layer('i', 'InnerProduct', 'data', 'inner_product_param { num_output: 4 normalize: true }'),
    'pooling of even sizes': source(2, 3, 9, 9)
    + layer('p', 'Pooling', 'data', 'pooling_param { kernel_size: 3 stride: 2 ceil_mode: false }'),
    'pooling of odd height': source(2, 3, 8, 9)
    + layer('p', 'Pooling', 'data', 'pooling_param { pool: AVE kernel_size: 3 stride: 2 round_mode: FLOOR }'),
    'pooling with a pad': source(2, 3, 8, 10)
    + layer('p', 'Pooling', 'data', 'pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 ceil_mode: false }'),
    'pooling of all': source(2, 3, 8, 10) + layer('p', 'Pooling', 'data', 'pooling_param { global_pooling: true }'),
}


@pytest.mark.parametrize('case', NETS)
def test_a_layer_in_bvlcs_layers_gives_the_same(case):
    net = made_net(NETS[case])
    inputs = {name: net.blobs[name].data.copy() for name in net.inputs}
    made = to_bvlc(net)
    assert {one.type for one in made.param.layer} <= BVLC_TYPES
    converted = made.net()
    assert converted.inputs == net.inputs
    found, expected = outputs(converted, inputs), outputs(net, inputs)
    for given, wanted in zip(found.values(), expected.values(), strict=True):
        assert given.shape == wanted.shape
        np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-6)


def test_relu6_is_the_same_to_the_last_bit():
    net = made_net(NETS['ReLU6'])
    values = np.geomspace(1e-9, 1e6, 150, dtype='f').reshape(3, 50)
    assert (outputs(to_bvlc(net).net(), {'data': values})['r'] == np.minimum(values, 6)).all()


def squeezed(name, bottom, channels):
    """The gate of a squeeze-and-excitation block."""
    return (
        layer(f'{name}_pool', 'Pooling', bottom, 'pooling_param { pool: AVE global_pooling: true }')
        + conv(f'{name}_down', f'{name}_pool', channels // 2, 1)
        + layer(f'{name}_relu', 'ReLU', f'{name}_down', top=f'{name}_down')
        + conv(f'{name}_up', f'{name}_down', channels, 1)
        + layer(f'{name}_gate', 'Sigmoid', f'{name}_up')
    )


def normed(name, bottom):
    return layer(f'{name}_bn', 'BatchNorm', bottom, top=bottom) + layer(
        f'{name}_scale', 'Scale', bottom, 'scale_param { bias_term: true }', top=bottom
    )


MOBILE_FACE_NET = (
    source(1, 3, 24, 20)
    + conv('c1', 'data', 8, 3, 'pad: 1 stride: 2')
    + normed('c1', 'c1')
    + layer('p1', 'PReLU', 'c1', top='c1')
    + conv('dw', 'c1', 8, 3, 'pad: 1 group: 8', 'DepthwiseConvolution')
    + layer('r6', 'ReLU6', 'dw', top='dw')
    + conv('shuffled', 'dw', 8, 1)
    + layer('shuffle', 'ShuffleChannel', 'shuffled', 'shuffle_channel_param { group: 2 }')
    + layer('sum', 'Eltwise', 'shuffle c1')
    + conv('gdc', 'sum', 8, 3, 'kernel_h: 12 kernel_w: 10 stride: 1', 'ConvolutionDepthwise').replace(
        'kernel_size: 3', ''
    )
    + layer('fc', 'InnerProduct', 'gdc', f'inner_product_param {{ num_output: 6 {FILL} }}')
)
SE_RESNET = (
    source(1, 3, 12, 12)
    + conv('c1', 'data', 8, 3, 'pad: 1')
    + layer('bn', 'BN', 'c1', 'bn_param { eps: 0.001 }', top='c1')
    + conv('c2', 'c1', 8, 3, 'pad: 1')
    + squeezed('se', 'c2', 8)
    + layer('axpy', 'Axpy', 'se_gate c2 c1')
    + layer('relu', 'ReLU', 'axpy', top='axpy')
    + layer('fc', 'InnerProduct', 'axpy', f'inner_product_param {{ num_output: 6 {FILL} }}')
)
DENSE_NET = (
    source(1, 3, 18, 22)
    + conv('c1', 'data', 6, 3, 'pad: 1')
    + layer('pool', 'Pooling', 'c1', 'pooling_param { kernel_size: 3 stride: 2 pad: 1 ceil_mode: false }')
    + conv('c2', 'pool', 4, 3, 'pad: 1')
    + layer('concat', 'Concat', 'pool c2')
    + layer('half', 'Pooling', 'concat', 'pooling_param { pool: AVE kernel_size: 2 stride: 2 ceil_mode: false }')
    + layer('fc', 'InnerProduct', 'half', f'inner_product_param {{ num_output: 6 {FILL} }}')
)
ORDER = 'permute_param { order: 0 order: 2 order: 3 order: 1 }'
SSD = (
    source(1, 3, 32, 32)
    + conv('c1', 'data', 8, 3, 'pad: 1 stride: 4')
    + conv('dw', 'c1', 8, 3, 'pad: 1 group: 8', 'DepthwiseConvolution')
    + layer('norm', 'Normalize', 'dw', 'norm_param { across_spatial: false channel_shared: false }')
    + conv('loc', 'norm', 16, 3, 'pad: 1')
    + layer('loc_perm', 'Permute', 'loc', ORDER)
    + layer('loc_flat', 'Flatten', 'loc_perm')
    + conv('conf', 'norm', 12, 3, 'pad: 1')
    + layer('conf_perm', 'Permute', 'conf', ORDER)
    + layer('conf_rows', 'Reshape', 'conf_perm', 'reshape_param { shape { dim: 0 dim: -1 dim: 3 } }')
    + layer('prob', 'Softmax', 'conf_rows', 'softmax_param { axis: 2 }')
    + layer('prob_flat', 'Flatten', 'prob')
    + layer('prior', 'PriorBox', 'norm data', 'prior_box_param { min_size: 8 max_size: 14 aspect_ratio: 2 clip: true }')
    + layer(
        'found',
        'DetectionOutput',
        'loc_flat prob_flat prior',
        'detection_output_param { num_classes: 3 code_type: CENTER_SIZE keep_top_k: 20 confidence_threshold: 0.4 '
        'nms_param { nms_threshold: 0.45 top_k: 40 } }',
    )
)


@pytest.mark.parametrize(
    ('text', 'to'),
    [(MOBILE_FACE_NET, 'bvlc'), (SE_RESNET, 'bvlc'), (DENSE_NET, 'bvlc'), (SSD, 'opencv')],
    ids=['MobileFaceNet', 'SE-ResNet', 'DenseNet', 'SSD'],
)
def test_opencv_reads_what_the_command_writes(tmp_path, text, to):
    net = made_net(text)
    (tmp_path / 'net.prototxt').write_text(text)
    net.save(str(tmp_path / 'net.caffemodel'))
    new, weights = (str(tmp_path / f'new.{ending}') for ending in ('prototxt', 'caffemodel'))
    flags = [f'-to={to}', f'-weights={tmp_path}/net.caffemodel', f'-output_weights={weights}']
    assert net_text([*flags, str(tmp_path / 'net.prototxt'), new]) == 0
    x = np.random.default_rng(1).normal(0, 1, net.blobs['data'].shape).astype('f')
    ((name, expected),) = outputs(net, {'data': x}).items()
    np.testing.assert_allclose(outputs(caffe.Net(new, weights, caffe.TEST), {'data': x})[name], expected, 1e-5, 1e-5)
    opened = cv2.dnn.readNetFromCaffe(new, weights)
    opened.setInput(x)
    found = opened.forward(name).reshape(expected.shape)
    if to == 'opencv':  # boxes, in an order of OpenCV's own
        found, expected = (sorted(rows.reshape(-1, 7).tolist()) for rows in (found, expected))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (layer('f', 'Flip', 'data'), r"layer 'f' \(Flip\): has no exact form in the layers of BVLC Caffe 1.0"),
        (layer('p', 'Permute', 'data', ORDER), r"layer 'p' \(Permute\): moves axes, expected an order that only"),
        (layer('c', 'Clip', 'data', 'clip_param { min: -1 max: 1 }'), 'has min -1, expected 0'),
        (layer('b', 'BN', 'data', 'bn_param { bn_mode: LEARN scale_filler { value: 1 } }'), 'statistics of its batch'),
    ],
)
def test_what_has_no_exact_form_is_refused_with_layer_and_reason(text, message):
    with pytest.raises(CaffeError, match=message):
        to_bvlc(made_net(source(2, 3, 8, 8) + text))


def test_the_command_says_what_is_missing_in_a_line(tmp_path, capfd):
    (tmp_path / 'net.prototxt').write_text(NETS['InnerProduct'])
    paths = [str(tmp_path / 'net.prototxt'), str(tmp_path / 'new.prototxt')]
    for flags, message in (
        (['-to=bvlc'], "layer 'i' (InnerProduct): normalizes its weights, expected -weights"),
        (['-to=ncnn'], "-to 'ncnn': expected bvlc or opencv"),
        (['-to=bvlc', '-weights=w'], '-weights, -output_weights and -to go together'),
    ):
        assert net_text([*flags, *paths]) == 1
        assert message in capfd.readouterr().err and not (tmp_path / 'new.prototxt').exists()
