"""Padding of each side and means without padding, as Synopsys' fork has them, against PyTorch and loops."""

import cv2
import numpy as np
import pytest
import torch.nn.functional as F
from google.protobuf import text_format

import caffe
from caffe.export.bvlc.conversion import to_bvlc
from caffe.export.onnx_file import export_onnx
from caffe.layers.vision.sided_convolution import SidedConvolution
from caffe.layers.vision.sided_pooling import SidedPooling
from caffe.proto import caffe_pb2
from caffe.proto.files import write_text_message
from caffe.proto.upgrade import upgrade_net
from gradcheck import check_gradient
from layer_case import assert_like_autograd, layer, make_net

WEIGHTS = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 1 }'
CONVOLUTIONS = {  # parameters, [left, right, above, below]
    'a row below': ('kernel_size: 3 stride: 2 pad_r: 1 pad_b: 1', [0, 1, 0, 1]),
    'all sides': ('kernel_size: 4 dilation: 2 pad_l: 1 pad_r: 3 pad_t: 2 pad_b: 0', [1, 3, 2, 0]),
    'same': ('kernel_h: 4 kernel_w: 3 stride: 2 pad_type: 1', [1, 1, 1, 1]),
    'same of odd sizes': ('kernel_size: 3 stride_h: 3 stride_w: 2 pad_type: 1 pad_h: 9 pad_w: 9', [1, 1, 0, 1]),
    'grouped': ('kernel_size: 2 group: 2 pad_type: 1', [0, 1, 0, 1]),
}
SIZES = {'same': (8, 7), 'same of odd sizes': (8, 9)}


@pytest.mark.parametrize('case', CONVOLUTIONS)
def test_convolution_over_a_picture_padded_on_each_side(case):
    text, sides = CONVOLUTIONS[case]
    text = layer('Convolution', extra=f'convolution_param {{ num_output: 6 {text} {WEIGHTS} }}')
    net = make_net(text, {'x': (2, 4, *SIZES.get(case, (9, 8)))})
    made = net.layer_dict['layer']
    assert isinstance(made, SidedConvolution) and made.margins == sides
    stride, _, dilation, *_, group = made.geometry
    assert_like_autograd(net, lambda x, w, b: F.conv2d(F.pad(x, sides), w, b, stride, 0, dilation, group))


def pooled(x, kernel, stride, before, counts, pool, after):
    """A pooled plane by loops; `counts` windows, `before` and `after` the pads (above, left) and (below, right)."""
    y = np.empty(counts)
    for place in np.ndindex(*counts):
        start = [i * s - p for i, s, p in zip(place, stride, before)]
        whole = [min(a + k, size + p) - a for a, k, size, p in zip(start, kernel, x.shape, after)]
        low = [max(a, 0) for a in start]
        high = [min(a + k, size) for a, k, size in zip(start, kernel, x.shape)]
        values = x[low[0] : high[0], low[1] : high[1]]
        y[place] = values.max() if pool == 'MAX' else values.mean() if pool != 'AVE' else values.sum() / np.prod(whole)
    return y


POOLINGS = {  # parameters, size, kernel, stride, pads before, pads behind, windows
    'a row below': ('kernel_size: 3 stride: 2 pad_r: 1 pad_b: 1', (8, 6), (3, 3), (2, 2), (0, 0), (1, 1), (4, 3)),
    'rounded down': (
        'kernel_size: 3 stride: 2 pad_l: 1 pad_b: 2 ceil_mode: false', (8, 8), (3, 3), (2, 2), (0, 1), (2, 0), (4, 4),
    ),
    'rounded up': ('kernel_size: 3 stride: 2 pad_l: 1 pad_b: 1', (9, 7), (3, 3), (2, 2), (0, 1), (1, 0), (5, 4)),
    'same': ('kernel_size: 3 stride: 2 pad_type: 1', (8, 7), (3, 3), (2, 2), (0, 1), (1, 1), (4, 4)),
    'same of even windows': ('kernel_size: 2 stride: 1 pad_type: 1', (4, 5), (2, 2), (1, 1), (0, 0), (1, 1), (4, 5)),
}  # fmt: skip


@pytest.mark.parametrize('pool', ['MAX', 'AVE', 'AVE_EXC_PAD', 'AVE_TF'])
@pytest.mark.parametrize('case', POOLINGS)
def test_pooling_with_padding_of_each_side(case, pool):
    text, size, kernel, stride, before, after, counts = POOLINGS[case]
    text = layer('Pooling', extra=f'pooling_param {{ pool: {pool} {text} }}')
    net = make_net(text, {'x': (2, 3, *size)})
    net.forward()
    assert isinstance(net.layer_dict['layer'], SidedPooling)
    planes = net.blobs['x'].data.reshape(-1, *size)
    wanted = [pooled(plane, kernel, stride, before, counts, pool, after) for plane in planes]
    np.testing.assert_allclose(net.blobs['y'].data.reshape(-1, *counts), wanted, rtol=1e-5, atol=1e-6)
    spread = np.random.default_rng(1).permutation(6 * np.prod(size)).reshape(2, 3, *size) / 9
    check_gradient(text, {'x': (2, 3, *size)}, values={'x': spread})


def test_means_without_pads_count_what_is_in_the_picture():
    text = layer('Pooling', extra='pooling_param { pool: AVE_EXC_PAD kernel_size: 3 pad: 1 }')
    net = make_net(text, {'x': (1, 1, 4, 4)})
    net.blobs['x'].data[...] = 1
    net.forward()
    np.testing.assert_array_equal(net.blobs['y'].data, 1)


@pytest.mark.parametrize(
    ('text', 'plain'),
    [
        (layer('ReLU', extra='relu_param { relu6: true negative_slope: 0.5 }'), 'type: "ReLU6"'),
        (layer('Pooling', extra='pooling_param { pool: AVE_TF kernel_size: 2 pad_l: 0 }'), 'pool: AVE\n'),
        (
            layer(
                'ResizeBilinear',
                extra='resize_bilinear_param { align_corners: true data_format: "NCHW" '
                'output_height: 7 output_width: 5 }',
            ),
            'interp_param {\n  height: 7\n  width: 5\n',
        ),
        (layer('Pooling', extra='pooling_param { kernel_h: 3 kernel_w: 5 pad_type: 1 }'), 'pad_h: 1\n  pad_w: 2\n'),
        (
            layer('Convolution', extra='convolution_param { kernel_size: 3 dilation: 2 pad: 0 pad_type: 1 }'),
            'pad_h: 2\n  pad_w: 2\n',
        ),
    ],
)
def test_what_bvlcs_fields_say_as_well_is_brought_to_them(text, plain):
    net = upgrade_net(text_format.Parse(text, caffe_pb2.NetParameter()), 'net')
    found = text_format.MessageToString(net)
    assert plain in found.replace('\n    ', '\n  ') and 'pad_type' not in found and 'relu_param' not in found


@pytest.mark.parametrize(
    'text',
    [
        layer('Convolution', extra=f'convolution_param {{ num_output: 6 {CONVOLUTIONS["a row below"][0]} {WEIGHTS} }}'),
        layer('Pooling', extra=f'pooling_param {{ {POOLINGS["rounded up"][0]} }}'),
        layer('Pooling', extra=f'pooling_param {{ pool: AVE {POOLINGS["same"][0]} }}'),
        layer('Pooling', extra=f'pooling_param {{ pool: AVE_EXC_PAD {POOLINGS["rounded down"][0]} }}'),
    ],
)
def test_onnxruntime_gives_the_same(text, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    net = make_net(text, {'x': (2, 4, 9, 8)}, force_backward=False)
    net.forward()
    export_onnx(net, str(tmp_path / 'n.onnx'))
    session = onnxruntime.InferenceSession(str(tmp_path / 'n.onnx'), providers=['CPUExecutionProvider'])
    (found,) = session.run(['y'], {'x': net.blobs['x'].data})
    np.testing.assert_allclose(found, net.blobs['y'].data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('case', ['a row below', 'same', 'grouped'])
def test_opencv_reads_a_convolution_with_zeros_in_its_weights_instead(case, tmp_path):
    text = layer('Convolution', extra=f'convolution_param {{ num_output: 6 {CONVOLUTIONS[case][0]} {WEIGHTS} }}')
    net = make_net(text, {'x': (1, 4, 9, 8)}, force_backward=False)
    net.forward()
    made = to_bvlc(net)
    paths = [str(tmp_path / f'n.{end}') for end in ('prototxt', 'caffemodel')]
    write_text_message(paths[0], made.param)
    made.net().save(paths[1])
    opened = cv2.dnn.readNetFromCaffe(*paths)
    opened.setInput(net.blobs['x'].data)
    np.testing.assert_allclose(opened.forward(), net.blobs['y'].data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ('kind', 'text', 'message'),
    [
        ('Convolution', 'convolution_param { num_output: 2 kernel_size: 3 pad: 1 pad_l: 1 }', 'expected one of them'),
        ('Convolution', 'convolution_param { num_output: 2 kernel_size: 3 pad_type: 2 }', 'pad_type is 2'),
        ('Pooling', 'pooling_param { kernel_size: 2 pad_l: 2 }', 'not smaller than the kernel'),
        ('Pooling', 'pooling_param { pad_l: 2 }', 'kernel_size is missing'),
        ('Pooling', 'pooling_param { kernel_size: 9 stride: 2 pad_l: 1 ceil_mode: false }', 'larger than the padded'),
        ('Pooling', 'pooling_param { pool: STOCHASTIC kernel_size: 3 pad_l: 1 }', 'expected MAX or a mean'),
    ],
)
def test_wrong_padding_is_refused(kind, text, message):
    with pytest.raises(caffe.CaffeError, match=f"layer 'layer' .*{message}"):
        make_net(layer(kind, extra=text), {'x': (1, 2, 5, 5)})


def test_bayesian_segnets_dropout_draws_in_the_test_phase():
    text = layer('Dropout', extra='dropout_param { dropout_ratio: 0.5 sample_weights_test: true }')
    net = make_net(text, {'x': (1, 1000)}, caffe.TEST)
    net.forward()
    kept = net.blobs['y'].data != 0
    assert 350 < kept.sum() < 650
    np.testing.assert_allclose(net.blobs['y'].data[kept], 2 * net.blobs['x'].data[kept], rtol=1e-6)
