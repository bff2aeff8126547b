"""Gradients of BN on small blobs: the forks' steps in single precision, one by one, bit for bit."""

import numpy as np
import pytest
import torch

import caffe
from caffe.layers.norm import small_normalization as small
from layer_case import layer, make_net, run

FILLERS = 'slope_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'


def sums(values):
    """Of each channel: a product with ones over the positions, and one over the pictures."""
    count, channels = values.shape[:2]
    rows = np.dot(values.reshape(count * channels, -1), np.ones(values[0, 0].size, np.float32))
    return np.dot(np.ones(count, np.float32), rows.reshape(count, channels)).reshape(-1, 1, 1)


def steps(dy, x, scale, mean, factor):
    """(dx, dscale, doffset) of values (N, C, H, W), each step rounded; the rest are (C, 1, 1)."""
    unit = (x - mean) * factor
    inner = dy * scale
    means = (unit * sums(inner * unit) + sums(inner)) * np.float32(-1 / (x.size // x.shape[1]))
    return (means + inner) * factor, sums(dy * unit), sums(dy)


@pytest.mark.parametrize('shape', [(2, 4, 7, 5), (3, 5, 1, 1), (1, 3, 2, 9)])
def test_gradients_of_bn_are_the_forks_steps_bit_for_bit(shape):
    net = make_net(layer('BN', extra=f'bn_param {{ {FILLERS} }}'), {'x': shape}, caffe.TEST)
    rng = np.random.default_rng(0)
    for blob, low in zip(net.params['layer'][2:], (-1, 0.5)):
        blob.data[...] = rng.uniform(low, 2, blob.shape)
    dy = run(net)['y']
    slope, _, mean, variance = (blob.data.reshape(-1, 1, 1) for blob in net.params['layer'])
    factor = torch.from_numpy(variance).add(1e-5).rsqrt().numpy()
    wanted = steps(dy, net.blobs['x'].data, slope, mean, factor)
    got = net.blobs['x'].diff, *(blob.diff for blob in net.params['layer'][:2])
    for values, want in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(values.ravel(), want.ravel())


def test_the_order_of_memory_changes_no_bit():
    torch.manual_seed(0)
    x, dy = torch.randn(2, 3, 8, 5, 7)
    rest = torch.rand(3, 8)
    results = [
        small.gradients(*(t.contiguous(memory_format=order) for t in (dy, x)), *rest, [True] * 3)
        for order in (torch.contiguous_format, torch.channels_last)
    ]
    for first, second in zip(*results, strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize('index', range(3))
def test_what_is_not_wanted_is_not_computed(index):
    torch.manual_seed(0)
    values = (*torch.randn(2, 3, 4, 5, 2), *torch.rand(3, 4))
    alone = small.gradients(*values, [i == index for i in range(3)])
    assert [grad is None for grad in alone] == [i != index for i in range(3)]
    assert torch.equal(alone[index], small.gradients(*values, [True] * 3)[index])


def test_large_blobs_and_other_types_are_not_small():
    assert small.is_small(torch.zeros(2, 4, 16, 8))
    assert not small.is_small(torch.zeros(2, 4, 16, 9))
    assert not small.is_small(torch.zeros(2, 4, 7, 5, dtype=torch.float64))
