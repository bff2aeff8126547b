"""Pooling3D against windows taken one by one, and its gradients."""

import numpy as np
import pytest

import caffe
from caffe.errors import CaffeError
from gradcheck import check_gradient
from layer_case import layer, make_net, run


def text(fields):
    return layer('Pooling3D', extra=f'pooling3d_param {{ {fields} }}')


def windows(size, kernel, stride, pad):
    """[(start, end)] of the windows of one axis, pads included and nothing beyond them."""
    count = -(-(size + 2 * pad - kernel) // stride) + 1
    return [(i * stride - pad, min(i * stride - pad + kernel, size + pad)) for i in range(count)]


def pooled(x, kernel, stride, pad, take):
    """`take(values, area)` of every window of x (N, C, T, H, W)."""
    lines = [windows(*each) for each in zip(x.shape[2:], kernel, stride, pad)]
    y = np.zeros((*x.shape[:2], *map(len, lines)))
    for n, c, *place in np.ndindex(y.shape):
        (a, b), (d, e), (f, g) = (line[i] for line, i in zip(lines, place))
        values = x[n, c, max(a, 0) : b, max(d, 0) : e, max(f, 0) : g]
        y[(n, c, *place)] = take(values, (b - a) * (e - d) * (g - f))
    return y


@pytest.mark.parametrize('size, kernel, stride', [((4, 6, 6), (2, 2), (2, 2)), ((5, 7, 8), (1, 3), (1, 2))])
def test_max_is_that_of_each_window_and_sizes_round_up(size, kernel, stride):
    net = make_net(
        text(f'kernel_depth: {kernel[0]} kernel_size: {kernel[1]} temporal_stride: {stride[0]} stride: {stride[1]}'),
        {'x': (2, 3, *size)},
    )
    net.forward()
    kernel, stride = (kernel[0], kernel[1], kernel[1]), (stride[0], stride[1], stride[1])
    wanted = pooled(net.blobs['x'].data, kernel, stride, (0, 0, 0), lambda values, _: values.max())
    np.testing.assert_array_equal(net.blobs['y'].data, wanted.astype('f'))


def test_mean_counts_the_pad_of_height_and_width_as_zeros():
    fields = 'pool: AVE kernel_depth: 2 kernel_size: 3 temporal_stride: 2 stride: 2 pad: 1'
    net = make_net(text(fields), {'x': (2, 2, 5, 6, 7)})
    net.forward()
    wanted = pooled(net.blobs['x'].data, (2, 3, 3), (2, 2, 2), (0, 1, 1), lambda values, area: values.sum() / area)
    np.testing.assert_allclose(net.blobs['y'].data, wanted, atol=1e-6)


@pytest.mark.parametrize(
    'fields',
    [
        'kernel_depth: 2 kernel_size: 3 temporal_stride: 1 stride: 2',
        'pool: AVE kernel_depth: 2 kernel_size: 3 temporal_stride: 2 stride: 2 pad: 1',
    ],
)
def test_backward_is_the_derivative_where_no_two_values_are_equal(fields):
    check_gradient(text(fields), {'x': (2, 2, 5, 6, 7)})
    check_gradient(text(fields).replace(' }', ' } true_gradient: true', 1), {'x': (2, 2, 5, 6, 7)})


@pytest.mark.parametrize('switch, count', [('', 8), ('true_gradient: true', 1)])
def test_equal_maxima_all_get_the_diff_as_in_c3d_and_one_with_the_switch(switch, count):
    fields = 'pooling3d_param { kernel_depth: 2 kernel_size: 2 temporal_stride: 2 stride: 2 }'
    net = make_net(layer('Pooling3D', extra=f'{fields} {switch}'), {'x': (1, 1, 2, 2, 2)})
    net.blobs['x'].data[...] = 3
    diff = run(net)['y'].item()
    assert net.blobs['x'].diff.sum() == pytest.approx(count * diff)


@pytest.mark.parametrize(
    'fields, line',
    [
        ('kernel_size: 2', 'kernel_depth and kernel_size are 0 and 2, expected at least 1'),
        ('kernel_depth: 1 kernel_size: 2 stride: 0', 'temporal_stride and stride are 1 and 0, expected at least 1'),
        ('kernel_depth: 1 kernel_size: 2 pad: 1', 'pad is 1, expected 0 with pool: MAX'),
        ('pool: AVE kernel_depth: 1 kernel_size: 2 pad: 2', 'pad 2 is not smaller than the kernel 2'),
        ('pool: STOCHASTIC kernel_depth: 1 kernel_size: 2', 'pool is STOCHASTIC, expected MAX or AVE'),
        ('kernel_depth: 9 kernel_size: 2', 'kernel (9, 2, 2) is larger than the padded clip of (4, 6, 6)'),
    ],
)
def test_wrong_windows_are_refused_in_a_line(fields, line):
    with pytest.raises(CaffeError) as caught:
        make_net(text(fields), {'x': (1, 2, 4, 6, 6)}, caffe.TEST)
    assert str(caught.value).endswith(f"layer 'layer' (Pooling3D): {line}")


def test_pictures_are_refused():
    with pytest.raises(CaffeError, match=r'bottom of shape \(1, 2, 6, 6\), expected \(num, channels, time, '):
        make_net(text('kernel_depth: 1 kernel_size: 2'), {'x': (1, 2, 6, 6)})
