"""Maps between the coordinates of tops, by hand."""

import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe.coord_map import AxisMismatchException, compose, coord_map_from_to, crop, inverse


def net():
    """A stride 4 picture-to-picture net: convolution, pooling, deconvolution."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 1, 100, 100]))
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=10, stride=2)
    n.relu = L.ReLU(n.conv, in_place=True)
    n.pool = L.Pooling(n.relu, kernel_size=2, stride=2)
    n.score = L.Convolution(n.pool, num_output=3, kernel_size=1)
    n.deconv = L.Deconvolution(n.score, convolution_param=dict(num_output=3, kernel_size=8, stride=4))
    return n


def test_from_a_map_to_the_picture_and_back():
    n = net()
    axis, a, b = coord_map_from_to(n.deconv, n.data)
    # deconvolution -> score: (x - 3.5) / 4; pooling: 2x + 0.5; convolution: 2x + 4.5
    np.testing.assert_allclose((axis, a[0], b[0]), (1, 1, 2 * (2 * -3.5 / 4 + 0.5) + 4.5))
    axis, a, b = coord_map_from_to(n.data, n.deconv)
    np.testing.assert_allclose((axis, a[0], b[0]), (1, 1, -2))


@pytest.mark.parametrize('kind', ['DepthwiseConvolution', 'ConvolutionDepthwise'])
def test_depthwise_layers_of_forks_map_as_convolutions(kind):
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 4, 20, 20]))
    n.conv = getattr(L, kind)(n.data, convolution_param=dict(num_output=4, kernel_size=3, stride=2, pad=1))
    n.relu = L.ReLU6(n.conv)
    axis, a, b = coord_map_from_to(n.relu, n.data)
    assert (axis, a[0], b[0]) == (1, 2, 0)


def test_crop_gives_the_offset_that_aligns():
    n = net()
    n.big = L.Convolution(n.data, num_output=1, kernel_size=1, pad=30)
    n.crop = crop(n.big, n.deconv)
    layer = n.to_proto().layer[-1]
    assert layer.crop_param.axis == 2 and list(layer.crop_param.offset) == [32]
    assert list(layer.bottom) == ['big', 'deconv']


def test_crops_of_crops_add_their_offsets():
    n = net()
    offset = L.Crop(n.data, n.score, axis=2, offset=7)
    again = L.Crop(offset, n.score, crop_param=dict(axis=2, offset=[3, 5]))
    axis, a, b = coord_map_from_to(again, n.data)
    assert axis == 1 and a == 1 and b.tolist() == [10, 12]


def test_kernels_of_several_sizes():
    n = net()
    n.wide = L.Convolution(n.data, num_output=1, kernel_size=[3, 5], stride=[1, 2], pad=[1, 0], dilation=[1, 2])
    axis, a, b = coord_map_from_to(n.wide, n.data)
    assert axis == 1 and a.tolist() == [1, 2] and b.tolist() == [0, 4]


def test_maps_compose_and_invert():
    one, two = (1, 2.0, 3.0), (None, 4.0, 5.0)
    assert compose(one, two) == (1, 8.0, 13.0)
    axis, a, b = compose(one, inverse(one))
    assert (axis, a, b) == (1, 1, 0)
    with pytest.raises(AxisMismatchException):
        compose(one, (2, 1, 0))


def test_what_has_no_map():
    n = net()
    n.ip = L.InnerProduct(n.data, num_output=10)
    with pytest.raises(RuntimeError, match='connected'):
        coord_map_from_to(n.ip, n.data)
    with pytest.raises(AssertionError, match='scale'):
        crop(n.pool, n.data)
    with pytest.raises(AssertionError, match='at least 0'):
        crop(n.deconv, L.Convolution(n.data, num_output=1, kernel_size=1, pad=30))
