"""Convolutions, deconvolutions and pooling of random geometry, folded or not, against plain PyTorch and plain loops."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from layer_case import layer

FILLERS = 'weight_filler { type: "xavier" } bias_filler { type: "gaussian" std: 1 }'


def net_of(text, shape, random, phase=caffe.TEST):
    """A net from x of that shape through the layer `text` to y, without force_backward, so that it folds in TEST."""
    dims = ' '.join(f'dim: {n}' for n in shape)
    text = f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }} {text}'
    net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), phase)
    net.blobs['x'].data[...] = random.standard_normal(shape)
    return net


def draw(random):
    """(shape of x, geometry as (height, width) each): narrow pictures and wide pads as often as others."""

    def pair(*values):
        return tuple(random.choice(values, 2).tolist())

    shape = (int(random.integers(1, 4)), int(random.choice([1, 1, 2, 3, 8])), *pair(1, 2, 3, 5, 7, 12))
    return shape, SimpleNamespace(
        kernel=pair(1, 2, 3, 4), stride=pair(1, 2, 3), pad=pair(0, 0, 1, 3), dilation=pair(1, 1, 2, 3)
    )


def text_of(kind, drawn, more=''):
    fields = ''.join(
        f'{name}: {drawn.__dict__[key][0]} {name}: {drawn.__dict__[key][1]} '
        for name, key in (('kernel_size', 'kernel'), ('stride', 'stride'), ('pad', 'pad'), ('dilation', 'dilation'))
    )
    return layer(kind, extra=f'convolution_param {{ {fields} {more} {FILLERS} }}')


@pytest.mark.parametrize('kind', ['Convolution', 'Deconvolution'])
@pytest.mark.parametrize('seed', range(40))
def test_convolutions(kind, seed):
    random = np.random.default_rng(seed)
    shape, g = draw(random)
    channels = shape[1]
    group = int(random.choice([n for n in range(1, channels + 1) if channels % n == 0]))
    span = [d * (k - 1) + 1 for d, k in zip(g.dilation, g.kernel)]
    sizes = [
        s * (n - 1) + e - 2 * p if kind == 'Deconvolution' else n + 2 * p - e + 1
        for n, s, e, p in zip(shape[2:], g.stride, span, g.pad)
    ]
    if min(sizes) < 1:
        g.pad = (0, 0) if kind == 'Deconvolution' else tuple(span)
    net = net_of(
        text_of(kind, g, f'num_output: {2 * group} group: {group}'), shape, random, [caffe.TRAIN, caffe.TEST][seed % 2]
    )
    x, weight, bias = (torch.from_numpy(blob.data.copy()).double() for blob in (net.blobs['x'], *net.params['layer']))
    wanted = (
        F.conv2d(x, weight, bias, g.stride, g.pad, g.dilation, group)
        if kind == 'Convolution'
        else F.conv_transpose2d(x, weight, bias, g.stride, g.pad, 0, group, g.dilation)
    )
    for _ in range(3):
        got = net.forward()['y'].copy()
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def pooled(x, g, mean):
    """Caffe's pooling of (N, C, H, W), window by window."""
    counts = [math.ceil((n + 2 * p - k) / s) + 1 for n, k, s, p in zip(x.shape[2:], g.kernel, g.stride, g.pad)]
    if any(g.pad):
        counts = [c - ((c - 1) * s >= n + p) for c, n, s, p in zip(counts, x.shape[2:], g.stride, g.pad)]
    y = np.empty((*x.shape[:2], *counts))
    for i in range(counts[0]):
        for j in range(counts[1]):
            start = [n * s - p for n, s, p in zip((i, j), g.stride, g.pad)]
            end = [min(a + k, n + p) for a, k, n, p in zip(start, g.kernel, x.shape[2:], g.pad)]
            window = x[:, :, max(start[0], 0) : min(end[0], x.shape[2]), max(start[1], 0) : min(end[1], x.shape[3])]
            area = (end[0] - start[0]) * (end[1] - start[1])
            y[:, :, i, j] = (
                window.sum((2, 3)) / np.float64(area) if mean else window.max((2, 3), initial=-np.finfo('f').max)
            )
    return y


@pytest.mark.filterwarnings('ignore:invalid value encountered')
@pytest.mark.parametrize('pool', ['MAX', 'AVE'])
@pytest.mark.parametrize('seed', range(40))
def test_pooling(pool, seed):
    random = np.random.default_rng(seed)
    shape, g = draw(random)
    g.pad = tuple(min(p, k - 1) for p, k in zip(g.pad, g.kernel))
    fields = ' '.join(
        f'{field}_{side}: {value}'
        for field in ('kernel', 'stride', 'pad')
        for side, value in zip('hw', getattr(g, field))
    )
    if any(n + 2 * p < k for n, p, k in zip(shape[2:], g.pad, g.kernel)):
        shape = (*shape[:2], 9, 9)
    net = net_of(layer('Pooling', extra=f'pooling_param {{ pool: {pool} {fields} }}'), shape, random)
    x = net.blobs['x'].data.astype('d')
    np.testing.assert_allclose(net.forward()['y'], pooled(x, g, pool == 'AVE'), rtol=1e-4, atol=1e-5)
