"""Reorg against a reading of darknet's indices place by place."""

import numpy as np
import pytest

from caffe.errors import CaffeError
from caffe.export.onnx_file import export_onnx
from gradcheck import check_gradient
from layer_case import layer, make_net


def pairs(shape, stride):
    """(index in the small maps of many channels, index in the large maps) of each value, both flat."""
    num, channels, height, width = shape
    groups = channels // stride**2
    for n, c, h, w in np.ndindex(*shape):
        place, k = divmod(c, groups)
        down, right = divmod(place, stride)
        many = w + width * (h + height * (c + channels * n))
        row = h * stride + down + height * stride * (k + groups * n)
        yield many, w * stride + right + width * stride * row


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize(('shape', 'stride'), [((2, 8, 4, 6), 2), ((1, 9, 6, 3), 3), ((2, 3, 2, 5), 1)])
def test_values_are_where_darknets_indices_put_them(shape, stride, reverse):
    parameter = f'reorg_param {{ stride: {stride} reverse: {"true" if reverse else "false"} }}'
    net = make_net(layer('Reorg', extra=parameter), {'x': shape})
    x = net.blobs['x'].data.copy().ravel()
    expected = np.empty_like(x)
    for many, large in pairs(shape, stride):
        source, target = (many, large) if reverse else (large, many)
        expected[target] = x[source]
    y = net.forward()['y']
    n, c, h, w = shape
    area = stride**2
    assert y.shape == ((n, c // area, h * stride, w * stride) if reverse else (n, c * area, h // stride, w // stride))
    assert (y.ravel() == expected).all()


@pytest.mark.parametrize('reverse', ['false', 'true'])
def test_onnxruntime_gives_the_same(reverse, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    net = make_net(layer('Reorg', extra=f'reorg_param {{ stride: 2 reverse: {reverse} }}'), {'x': (2, 8, 4, 6)})
    export_onnx(net, str(tmp_path / 'reorg.onnx'), any_batch=True)
    session = onnxruntime.InferenceSession(str(tmp_path / 'reorg.onnx'))
    x = net.blobs['x'].data.copy()
    assert (session.run(['y'], {'x': x})[0] == net.forward()['y']).all()


@pytest.mark.parametrize('reverse', ['false', 'true'])
def test_backward_is_the_derivative(reverse):
    check_gradient(layer('Reorg', extra=f'reorg_param {{ stride: 2 reverse: {reverse} }}'), {'x': (2, 4, 4, 2)})


@pytest.mark.parametrize(
    ('shape', 'parameter', 'message'),
    [
        (
            (1, 4, 3, 4),
            'stride: 2',
            r'bottom of shape \(1, 4, 3, 4\), expected .*divisible by 4, height and width by 2',
        ),
        ((1, 6, 3, 4), 'stride: 2 reverse: true', 'expected .* with channels divisible by 4$'),
        ((1, 4, 4, 4), '', 'stride is 0, expected at least 1'),
    ],
)
def test_sizes_that_no_square_divides_are_refused(shape, parameter, message):
    with pytest.raises(CaffeError, match=message):
        make_net(layer('Reorg', extra=f'reorg_param {{ {parameter} }}'), {'x': shape})
