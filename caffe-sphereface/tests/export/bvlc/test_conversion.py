"""Nets of forks in BVLC's layers: the same outputs here and in OpenCV, or one line that says why not."""

import cv2
import numpy as np
import pytest

import caffe
from caffe.cli.main import main
from caffe.cli.upgrade import net_binary, net_text
from caffe.errors import CaffeError
from caffe.export.bvlc.conversion import to_bvlc
from caffe.export.bvlc.replacement import BVLC_TYPES
from caffe.proto import caffe_pb2
from caffe.proto.files import parse_text, write_text_message

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


ORDER = 'permute_param { order: 0 order: 2 order: 3 order: 1 }'
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
    'Permute to channels last': source(2, 6, 3, 4) + layer('p', 'Permute', 'data', ORDER),
    'Permute to channels first': source(2, 3, 4, 6)
    + layer('p', 'Permute', 'data', 'permute_param { order: 0 order: 3 }'),
    'Permute of neighbours': source(2, 3, 4, 6)
    + layer('p', 'Permute', 'data', 'permute_param { order: 0 order: 2 order: 1 }'),
    'Flip': source(2, 3, 4, 5) + layer('f', 'Flip', 'data'),
    'Flip of rows and columns': source(2, 3, 4, 5) + layer('f', 'Flip', 'data', 'flip_param { flip_height: true }'),
    'Flip of nothing': source(2, 3, 4, 5) + layer('f', 'Flip', 'data', 'flip_param { flip_width: false }'),
    'Normalize': source(3, 7) + layer('n', 'Normalize', 'data'),
    'Normalize of maps by absolute values': source(3, 4, 5, 6)
    + layer('n', 'Normalize', 'data', 'normalize_param { normalize_type: "L1" }'),
    'Normalize of SSD': source(2, 4, 5, 6)
    + layer('n', 'Normalize', 'data', 'norm_param { across_spatial: false channel_shared: false }'),
    'Normalize of SSD for pictures': source(2, 4, 5, 6) + layer('n', 'Normalize', 'data', 'norm_param { eps: 0.1 }'),
    'ChannelScale': source(2, 1, 5, 6, name='s') + source(2, 4, 5, 6) + layer('c', 'ChannelScale', 'data s'),
    'ChannelScale of vectors': source(2, 1, name='s') + source(2, 4) + layer('c', 'ChannelScale', 'data s'),
    'ChannelScale for all': source(2, 1, 5, 6, name='s')
    + source(2, 4, 5, 6)
    + layer('c', 'ChannelScale', 'data s', 'channel_scale_param { global_scale: true min_global_scale: 0.5 }'),
    'Interp to twice': source(2, 3, 4, 5) + layer('i', 'Interp', 'data', 'interp_param { zoom_factor: 2 }'),
    'Interp of a pixel': source(2, 3, 1, 1) + layer('i', 'Interp', 'data', 'interp_param { height: 6 width: 4 }'),
    'Interp to three times and five': source(2, 3, 3, 3)
    + layer('i', 'Interp', 'data', 'interp_param { height: 7 width: 11 }'),
    'Interp to half': source(2, 3, 9, 5) + layer('i', 'Interp', 'data', 'interp_param { shrink_factor: 2 }'),
    'Interp between pixels': source(2, 3, 6, 6) + layer('i', 'Interp', 'data', 'interp_param { height: 10 width: 9 }'),
    'Interp that crops': source(2, 3, 6, 6)
    + layer('i', 'Interp', 'data', 'interp_param { zoom_factor: 2 pad_beg: -1 }'),
    'Interp of nothing': source(2, 3, 6, 6) + layer('i', 'Interp', 'data', 'interp_param { height: 6 width: 6 }'),
    'pooling of even sizes': source(2, 3, 9, 9)
    + layer('p', 'Pooling', 'data', 'pooling_param { kernel_size: 3 stride: 2 ceil_mode: false }'),
    'pooling of odd height': source(2, 3, 8, 9)
    + layer('p', 'Pooling', 'data', 'pooling_param { pool: AVE kernel_size: 3 stride: 2 round_mode: FLOOR }')
    + layer('a', 'TanH', 'p'),
    'pooling with a pad': source(2, 3, 8, 10)
    + layer('p', 'Pooling', 'data', 'pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 ceil_mode: false }')
    + layer('a', 'TanH', 'p'),
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


@pytest.mark.parametrize('case', NETS)
def test_opencv_gives_the_same(case, tmp_path):
    net = made_net(NETS[case])
    made = to_bvlc(net, 'opencv')
    text, weights = str(tmp_path / 'n.prototxt'), str(tmp_path / 'n.caffemodel')
    write_text_message(text, made.param)
    made.net().save(weights)
    opened = cv2.dnn.readNetFromCaffe(text, weights)
    for name in net.inputs:
        opened.setInput(net.blobs[name].data, name)
    found = opened.forward(opened.getUnconnectedOutLayersNames())
    (expected,) = outputs(net, {}).values()
    (theirs,) = (one for one in found if one.size == expected.size)  # no Silence there
    np.testing.assert_allclose(theirs.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


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
        (
            layer('r', 'Reorg', 'data', 'reorg_param { stride: 1 }'),
            r"layer 'r' \(Reorg\): has no exact form in the layers of BVLC Caffe 1.0",
        ),
        (
            layer('p', 'Permute', 'data', 'permute_param { order: 0 order: 3 order: 2 order: 1 }'),
            r"layer 'p' \(Permute\): has the order \[0, 3, 2, 1\], expected one that moves a single axis",
        ),
        (
            layer('i', 'Interp', 'data', 'interp_param { height: 700 width: 700 }'),
            r"layer 'i' \(Interp\): takes values between pixels of 8 x 8 for 700 x 700, expected whole steps",
        ),
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


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A folder with the prototxt and the caffemodel of a net that -to changes; the net."""
    monkeypatch.chdir(tmp_path)
    net = made_net(NETS['InnerProduct'])
    (tmp_path / 'net.prototxt').write_text(NETS['InnerProduct'])
    net.save('net.caffemodel')
    return net


@pytest.mark.parametrize(
    ('call', 'words', 'weights'),
    [
        (main, 'upgrade_net -to bvlc -model net.prototxt -weights net.caffemodel -out new.prototxt', 'new.caffemodel'),
        (
            main,
            'upgrade_net -to opencv -model net.prototxt -weights net.caffemodel -out new.prototxt '
            '-output_weights w.caffemodel',
            'w.caffemodel',
        ),
        (
            net_binary,
            '-to bvlc -model net.prototxt -output_model new.prototxt net.caffemodel w.caffemodel',
            'w.caffemodel',
        ),
    ],
)
def test_each_command_writes_prototxt_and_weights_together(written, call, words, weights):
    assert call(words.split()) == 0
    inputs = {'data': written.blobs['data'].data.copy()}
    (expected,) = outputs(written, inputs).values()
    (found,) = outputs(caffe.Net('new.prototxt', weights, caffe.TEST), inputs).values()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert 'normalize' not in open('new.prototxt').read()


def test_upgrade_net_writes_old_prototxts_in_the_present_form(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'old.prototxt').write_text('layers { name: "r" type: RELU bottom: "x" top: "y" } input: "x"')
    assert main('upgrade_net -model old.prototxt -out new.prototxt'.split()) == 0
    assert 'type: "ReLU"' in (tmp_path / 'new.prototxt').read_text()


@pytest.mark.parametrize(
    ('call', 'words', 'message'),
    [
        (main, 'upgrade_net -model net.prototxt', '-out is missing'),
        (main, 'upgrade_net -model net.prototxt -out o -to bvlc', "layer 'i' (InnerProduct): normalizes its weights"),
        (main, 'upgrade_net -model net.prototxt -out o -weights net.caffemodel', '-weights: expected -to with it'),
        (main, 'upgrade_net -model net.prototxt -out o -to bvlc -output_weights w', 'expected -weights with it'),
        (net_binary, '-to bvlc net.caffemodel o', '-to, -model and -output_model go together'),
        (
            net_binary,
            '-to bvlc -dialect ssd -model net.prototxt -output_model o net.caffemodel w',
            '-dialect: expected it without -to',
        ),
    ],
)
def test_commands_with_flags_that_do_not_fit_say_so_in_a_line_and_write_nothing(
    written, tmp_path, capfd, call, words, message
):
    assert call(words.split()) == 1
    assert message in capfd.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {'net.prototxt', 'net.caffemodel'}
