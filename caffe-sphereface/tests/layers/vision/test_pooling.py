"""Pooling, against PyTorch with autograd and by hand."""

import numpy as np
import pytest
import torch.nn.functional as F

import caffe
from layer_case import assert_like_autograd, layer, make_net


@pytest.mark.parametrize('kernel, stride, pad', [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (5, 3, 2)])
@pytest.mark.parametrize('size', [(9, 8), (10, 7)])
def test_pooling(kernel, stride, pad, size):
    for pool, function in (('MAX', F.max_pool2d), ('AVE', F.avg_pool2d)):
        net = make_net(
            layer(
                'Pooling', extra=f'pooling_param {{ pool: {pool} kernel_size: {kernel} stride: {stride} pad: {pad} }}'
            ),
            {'x': (2, 3, *size)},
        )
        assert_like_autograd(net, lambda x, f=function: f(x, kernel, stride, pad, ceil_mode=True))


def pooled(text, x, tops='y'):
    """The tops of a Pooling layer for a picture given as rows."""
    net = make_net(layer('Pooling', tops=tops, extra=f'pooling_param {{ {text} }}'), {'x': (1, 1, *np.shape(x))})
    net.blobs['x'].data[0, 0] = x
    net.forward()
    return [net.blobs[name].data[0, 0].tolist() for name in tops.split()]


LINE = [[1.0, 2.0, 4.0, 8.0, 16.0]]


@pytest.mark.parametrize(
    'text, expected',
    [
        # the last window holds one value only: sizes round up, the mean is of what lies in the picture
        ('pool: AVE kernel_h: 1 kernel_w: 2 stride: 2', [1.5, 6, 16]),
        ('pool: MAX kernel_h: 1 kernel_w: 2 stride: 2', [2, 8, 16]),
        # sizes round down on demand
        ('pool: MAX kernel_h: 1 kernel_w: 2 stride: 2 round_mode: FLOOR', [2, 8]),
        # pads count as zeros in the mean …
        ('pool: AVE kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 1 stride: 2', [1, 14 / 3, 8]),
        # … but never as a maximum
        ('pool: MAX kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 1 stride: 2', [2, 8, 16]),
        # a pad of more than half the window
        ('pool: AVE kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 2 stride: 2', [1 / 3, 7 / 3, 28 / 3, 16 / 3]),
        ('pool: MAX kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 2 stride: 2', [1, 4, 16, 16]),
        # … whose last window reaches one place behind the trailing pad
        ('pool: AVE kernel_h: 1 kernel_w: 4 pad_h: 0 pad_w: 3 stride: 3', [1 / 4, 15 / 4, 24 / 4]),
        # the last of these begins at the last place and ends where the pad does
        ('pool: AVE kernel_h: 1 kernel_w: 5 pad_h: 0 pad_w: 3 stride: 7', [3 / 5, 16 / 4]),
        # a window that would begin behind the picture is dropped
        ('pool: MAX kernel_h: 1 kernel_w: 2 pad_h: 0 pad_w: 1 stride: 3', [1, 8]),
        ('pool: AVE global_pooling: true', [31 / 5]),
        ('pool: MAX global_pooling: true', [16]),
    ],
)
def test_pooling_by_hand(text, expected):
    assert pooled(text, LINE)[0][0] == pytest.approx(expected)


def test_pooling_counts_the_pad_in_a_clipped_window_up_to_its_edge():
    # windows of 4 from −1 and 2 on; the second reaches one place behind the trailing pad, which does not count
    assert pooled('pool: AVE kernel_h: 1 kernel_w: 4 pad_h: 0 pad_w: 1 stride: 3', [[3.0, 6.0, 9.0, 12.0]])[0][
        0
    ] == pytest.approx([18 / 4, 21 / 3])


@pytest.mark.parametrize('pool, empty', [('MAX', -np.finfo('f').max), ('AVE', np.nan)])
def test_without_a_pad_a_window_behind_the_picture_stays_and_is_empty(pool, empty):
    (values,) = pooled(f'pool: {pool} kernel_size: 1 stride: 2', [[3.0, 6.0, 9.0, 12.0]])
    np.testing.assert_array_equal(values, [[3, 9, empty]])


def test_the_mean_of_less_than_no_place_is_0():
    assert pooled('pool: AVE kernel_h: 1 kernel_w: 1 stride: 3', [[3.0, 6.0, 9.0, 12.0, 15.0]])[0][0] == [3, 12, 0]


def test_an_empty_window_has_no_place_and_no_gradient():
    text = layer('Pooling', tops='y m', extra='pooling_param { kernel_size: 1 stride: 2 }')
    net = make_net(text, {'x': (1, 1, 2, 4)})
    net.forward()
    assert net.blobs['m'].data[0, 0].tolist() == [[0, 2, -1], [-1, -1, -1]]
    net.blobs['y'].diff[...] = 1
    net.backward()
    assert net.blobs['x'].diff[0, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize('pad', [1, 2])
def test_mask_of_maxima_counts_in_the_picture(pad):
    x = np.arange(12.0).reshape(3, 4)
    values, mask = pooled(f'kernel_size: 3 stride: 2 pad: {pad}', x, 'y m')
    assert values == mask


def test_the_first_of_equal_values_is_the_maximum():
    assert pooled('kernel_h: 1 kernel_w: 2 stride: 2', [[5.0, 5.0, 1.0, 1.0]], 'y m')[1] == [[0, 2]]


def test_stochastic_pooling_draws_in_proportion():
    caffe.set_random_seed(3)
    text = layer('Pooling', extra='pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }')
    train, test = (make_net(text, {'x': (4000, 1, 2, 2)}, phase) for phase in (caffe.TRAIN, caffe.TEST))
    window = np.array([[0, 1], [3, 0]], 'f')
    for net in (train, test):
        net.blobs['x'].data[...] = window
        net.forward()
    drawn = train.blobs['y'].data
    assert set(np.unique(drawn)) == {1, 3}
    assert drawn.mean() == pytest.approx(2.5, abs=0.1)
    assert test.blobs['y'].data == pytest.approx(2.5)


def test_stochastic_pooling_of_zeros_is_zero():
    for phase in (caffe.TRAIN, caffe.TEST):
        net = make_net(
            layer('Pooling', extra='pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }'),
            {'x': (1, 1, 5, 5)},
            phase,
        )
        net.blobs['x'].data[...] = 0
        net.forward()
        assert not net.blobs['y'].data.any()


def test_stochastic_pooling_of_negative_values_draws_one_of_them():
    net = make_net(
        layer('Pooling', extra='pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }'),
        {'x': (50, 1, 2, 2)},
        caffe.TRAIN,
    )
    x = net.blobs['x'].data
    x[...] = -np.abs(x)
    net.forward()
    assert all(y in window for y, window in zip(net.blobs['y'].data.ravel(), x))
