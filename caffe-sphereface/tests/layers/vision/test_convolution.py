"""Convolution and Deconvolution, against PyTorch with autograd and by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from layer_case import assert_like_autograd, layer, make_net, run

GAUSSIAN = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 1 }'


@pytest.mark.parametrize(
    'text, arguments',
    [
        ('kernel_size: 3 stride: 2 pad: 1', {'stride': 2, 'padding': 1}),
        ('kernel_size: 1', {}),
        ('kernel_size: 3 group: 4', {'groups': 4}),
        ('kernel_size: 3 dilation: 2', {'dilation': 2}),
        ('kernel_h: 3 kernel_w: 5 pad_h: 1 pad_w: 2 stride_h: 2 stride_w: 1', {'stride': (2, 1), 'padding': (1, 2)}),
        ('kernel_size: 3 kernel_size: 2 stride: 1 stride: 2', {'stride': (1, 2)}),
    ],
)
def test_convolution(text, arguments):
    net = make_net(
        layer('Convolution', extra=f'convolution_param {{ num_output: 8 {GAUSSIAN} {text} }}'), {'x': (2, 4, 9, 8)}
    )
    assert_like_autograd(net, lambda x, w, b: F.conv2d(x, w, b, **arguments))


def test_convolution_without_bias_has_one_blob():
    net = make_net(
        layer('Convolution', extra=f'convolution_param {{ num_output: 2 {GAUSSIAN} kernel_size: 2 bias_term: false }}'),
        {'x': (1, 3, 4, 4)},
    )
    assert [b.shape for b in net.params['layer']] == [(2, 3, 2, 2)]
    assert_like_autograd(net, F.conv2d)


@pytest.mark.parametrize('shape, function', [((2, 4, 7), F.conv1d), ((1, 4, 5, 4, 3), F.conv3d)])
def test_convolution_over_other_numbers_of_axes(shape, function):
    text = f'convolution_param {{ num_output: 2 {GAUSSIAN} kernel_size: 3 pad: 1 }}'
    net = make_net(layer('Convolution', extra=text), {'x': shape})
    assert_like_autograd(net, lambda x, w, b: function(x, w, b, padding=1))


def test_convolution_channels_on_another_axis():
    text = f'convolution_param {{ num_output: 2 {GAUSSIAN} kernel_size: 3 axis: 2 }}'
    net = make_net(layer('Convolution', extra=text), {'x': (2, 3, 4, 5, 5)})
    assert net.blobs['y'].shape == (2, 3, 2, 3, 3)
    assert_like_autograd(net, lambda x, w, b: F.conv2d(x.flatten(0, 1), w, b))


def test_parameter_diffs_accumulate_over_backward_passes():
    net = make_net(
        layer('Convolution', extra=f'convolution_param {{ num_output: 2 {GAUSSIAN} kernel_size: 3 }}'),
        {'x': (2, 3, 4, 4)},
    )
    run(net)
    once = [b.diff.copy() for b in net.params['layer']]
    net.backward()
    for blob, diff in zip(net.params['layer'], once):
        np.testing.assert_allclose(blob.diff, 2 * diff, rtol=1e-5)


def test_a_net_takes_another_input_size():
    net = make_net(
        layer('Convolution', extra=f'convolution_param {{ num_output: 2 {GAUSSIAN} kernel_size: 3 }}')
        + layer('Pooling', 'y', 'z', 'pooling_param { kernel_size: 2 stride: 2 }').replace('"layer"', '"p"'),
        {'x': (2, 3, 8, 8)},
    )
    net.blobs['x'].reshape(1, 3, 11, 7)
    net.forward()
    assert net.blobs['y'].shape == (1, 2, 9, 5)
    assert net.blobs['z'].shape == (1, 2, 5, 3)


@pytest.mark.parametrize(
    'text, arguments',
    [
        ('kernel_size: 3 stride: 2 pad: 1 group: 2', {'stride': 2, 'padding': 1, 'groups': 2}),
        ('kernel_size: 2 dilation: 2', {'dilation': 2}),
    ],
)
def test_deconvolution(text, arguments):
    net = make_net(
        layer('Deconvolution', extra=f'convolution_param {{ num_output: 6 {GAUSSIAN} {text} }}'), {'x': (2, 4, 5, 4)}
    )
    assert_like_autograd(net, lambda x, w, b: F.conv_transpose2d(x, w, b, **arguments))


def convolved(text, shape, phase, **torch_arguments):
    """(top of the third forward, what torch makes of it): folded from the second on in the TEST phase."""
    dims = ' '.join(f'dim: {n}' for n in shape)
    net = caffe.Net(
        text_format.Parse(
            f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}'
            + layer('Convolution', extra=f'convolution_param {{ num_output: 3 {text} {GAUSSIAN} }}'),
            caffe_pb2.NetParameter(),
        ),
        phase,
    )
    net.blobs['x'].data[...] = np.random.default_rng(0).standard_normal(shape)
    parameters = [torch.from_numpy(blob.data.copy()) for blob in net.params['layer']]
    expected = F.conv2d(torch.from_numpy(net.blobs['x'].data.copy()), *parameters, **torch_arguments)
    for _ in range(3):
        top = net.forward()['y'].copy()
    return top, expected.numpy()


@pytest.mark.parametrize('phase', [caffe.TRAIN, caffe.TEST])
def test_convolution_whose_windows_fit_into_the_pad(phase):
    top, expected = convolved(
        'kernel_size: 2 stride: 3 stride: 2 pad: 3 dilation: 2',
        (3, 3, 2, 1),
        phase,
        stride=(3, 2),
        padding=3,
        dilation=2,
    )
    np.testing.assert_allclose(top, expected, atol=1e-5)


@pytest.mark.parametrize('shape', [(1, 1, 9, 4), (2, 1, 9, 4), (2, 1, 1, 4)])
def test_convolution_of_one_channel_into_one_column(shape):
    top, expected = convolved('kernel_h: 1 kernel_w: 4 stride_h: 1 stride_w: 3', shape, caffe.TEST, stride=(1, 3))
    np.testing.assert_allclose(top, expected, atol=1e-5)


def test_convolution_into_one_channel_and_then_into_one_column():
    settings = {'a': 'num_output: 1 stride: 3', 'b': 'num_output: 3 pad: 1 stride_h: 1 stride_w: 3'}
    text = ''.join(
        layer(
            'Convolution', bottom, name, f'convolution_param {{ kernel_size: 4 {settings[name]} {GAUSSIAN} }}'
        ).replace('"layer"', f'"{name}"')
        for bottom, name in ('xa', 'ab')
    )
    net = make_net(text, {'x': (3, 2, 10, 9)}, force_backward=False)
    x, *parameters = (
        torch.tensor(blob.data, dtype=torch.double) for blob in (net.blobs['x'], *net.params['a'], *net.params['b'])
    )
    expected = F.conv2d(F.conv2d(x, *parameters[:2], stride=3), *parameters[2:], stride=(1, 3), padding=1)
    for _ in range(4):
        net.forward()
    np.testing.assert_allclose(net.blobs['b'].data, expected, rtol=1e-4, atol=1e-4)


def test_a_single_picture_keeps_its_order_in_memory(tmp_path):
    """Kernels read the order from the stride between pictures too, which a reshape to the same shape changes."""
    path = tmp_path / 'net.prototxt'
    path.write_text("""
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 16 dim: 96 dim: 96 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 32 kernel_size: 3 } }
""")
    net = caffe.Net(str(path), caffe.TRAIN)
    net.run_forward()
    net.run_backward()
    for tensor in (net.blobs['y'].tensor, net.blobs['x'].grad):
        assert tensor.stride() == tensor.contiguous().contiguous(memory_format=torch.channels_last).stride()
