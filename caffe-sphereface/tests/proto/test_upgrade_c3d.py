"""C3D's nets and weights, of both versions."""

import numpy as np
import pytest
import torch

import caffe
from caffe.data.augmentation import read_mean
from caffe.proto import caffe_pb2
from caffe.proto.files import parse_text
from layer_case import make_net

CONV = (
    'layers { name: "conv" type: CONVOLUTION3D bottom: "x" top: "y" blobs_lr: 1 blobs_lr: 2 weight_decay: 1 '
    'weight_decay: 0 convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 2 pad: 1 temporal_pad: 1 '
    'stride: 2 temporal_stride: 1 filter_group: 2 weight_filler { type: "gaussian" std: 0.1 } } }'
)
SECOND = (
    'layer { name: "conv" type: "Convolution3D" bottom: "x" top: "y" param { lr_mult: 1 } param { lr_mult: 2 } '
    'convolution3d_param { num_output: 4 kernel_size: 3 kernel_depth: 2 pad: 1 temporal_pad: 1 stride: 2 '
    'temporal_stride: 1 filter_group: 2 weight_filler { type: "gaussian" std: 0.1 } } }'
)
SHAPE = 'dim: 2 dim: 3 dim: 5 dim: 8 dim: 8'
INPUT = {
    CONV: f'input: "x" input_shape {{ {SHAPE} }}',
    SECOND: f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {SHAPE} }} }} }}',
}


def net_of(text):
    return caffe.Net(parse_text(text, caffe_pb2.NetParameter(), 'net'), caffe.TRAIN)


@pytest.mark.parametrize('layers', [CONV, SECOND])
def test_convolution3d_is_a_convolution_over_time_height_and_width(layers):
    net = net_of(INPUT[layers] + layers)
    net.blobs['x'].data[...] = np.random.default_rng(0).standard_normal(net.blobs['x'].shape)
    net.forward()
    weight, bias = (torch.tensor(blob.data) for blob in net.params['conv'])
    assert weight.shape == (4, 3, 2, 3, 3)
    x = torch.tensor(net.blobs['x'].data)
    wanted = torch.nn.functional.conv3d(x, weight, bias, (1, 2, 2), (1, 1, 1))
    np.testing.assert_allclose(net.blobs['y'].data, wanted, rtol=1e-4, atol=1e-5)


def test_deconvolution3d_is_its_transpose():
    layers = SECOND.replace('Convolution3D', 'Deconvolution3D')
    net = net_of(INPUT[SECOND] + layers)
    net.blobs['x'].data[...] = np.random.default_rng(0).standard_normal(net.blobs['x'].shape)
    net.forward()
    weight, bias = (torch.tensor(blob.data) for blob in net.params['conv'])
    wanted = torch.nn.functional.conv_transpose3d(torch.tensor(net.blobs['x'].data), weight, bias, (1, 2, 2), 1)
    np.testing.assert_allclose(net.blobs['y'].data, wanted, rtol=1e-4, atol=1e-5)


def test_pooling3d_of_the_first_version_is_that_of_the_second():
    fields = 'pool: AVE kernel_size: 3 kernel_depth: 2 stride: 2 temporal_stride: 2 pad: 1'
    first = net_of(
        INPUT[CONV] + f'layers {{ name: "p" type: POOLING3D bottom: "x" top: "y" pooling_param {{ {fields} }} }}'
    )
    second = make_net(
        f'layer {{ name: "p" type: "Pooling3D" bottom: "x" top: "y" pooling3d_param {{ {fields} }} }}',
        {'x': (2, 3, 5, 8, 8)},
    )
    first.blobs['x'].data[...] = second.blobs['x'].data
    np.testing.assert_array_equal(first.forward()['y'], second.forward()['y'])


def test_a_deploy_net_has_five_sizes_for_each_input():
    net = net_of('input: "x" input_dim: 2 input_dim: 3 input_dim: 5 input_dim: 8 input_dim: 8 ' + CONV)
    assert net.blobs['x'].shape == (2, 3, 5, 8, 8)


def varint(field, value):
    return bytes([field << 3, *([value & 127 | 128, value >> 7] if value > 127 else [value])])


def message(field, content):
    size = len(content)
    return bytes([field << 3 | 2, *([size & 127 | 128, size >> 7] if size > 127 else [size])]) + content


def first_blob(values):
    """A BlobProto of C3D's first version: num, channels, length, height, width, then the values under 6."""
    shape = (1,) * (5 - values.ndim) + values.shape
    return b''.join(varint(i, size) for i, size in enumerate(shape, 1)) + message(6, values.astype('<f4').tobytes())


def test_weights_of_the_first_version_are_read(tmp_path):
    weight, bias = np.arange(4 * 3 * 2, dtype='f').reshape(4, 3, 2, 1, 1), np.arange(4, dtype='f')
    layer = message(4, b'conv') + varint(5, 30) + b''.join(message(6, first_blob(each)) for each in (weight, bias))
    path = tmp_path / 'c3d.caffemodel'
    path.write_bytes(message(2, layer))
    net = net_of(INPUT[CONV] + CONV.replace('kernel_size: 3', 'kernel_size: 1'))
    net.copy_from(str(path))
    np.testing.assert_array_equal(net.params['conv'][0].data, weight)
    np.testing.assert_array_equal(net.params['conv'][1].data, bias)


def test_biases_of_the_second_version_have_leading_ones_and_are_read(tmp_path):
    net = net_of(INPUT[SECOND] + SECOND)
    saved = caffe_pb2.NetParameter()
    layer = saved.layer.add(name='conv', type='Convolution3D')
    for shape in ((4, 3, 2, 3, 3), (1, 1, 1, 1, 4)):
        layer.blobs.add(data=np.full(shape, 0.5, 'f').ravel().tolist()).shape.dim[:] = shape
    (tmp_path / 'c3d.caffemodel').write_bytes(saved.SerializeToString())
    net.copy_from(str(tmp_path / 'c3d.caffemodel'))
    assert {value for blob in net.params['conv'] for value in blob.data.ravel().tolist()} == {0.5}


def test_a_mean_clip_of_either_version_is_read(tmp_path):
    mean = np.arange(3 * 2 * 4 * 5, dtype='f').reshape(1, 3, 2, 4, 5)
    (tmp_path / 'first').write_bytes(first_blob(mean))
    second = caffe_pb2.BlobProto(data=mean.ravel().tolist())
    second.shape.dim[:] = mean.shape
    (tmp_path / 'second').write_bytes(second.SerializeToString())
    for name in ('first', 'second'):
        np.testing.assert_array_equal(read_mean(str(tmp_path / name)), mean.reshape(6, 4, 5))
