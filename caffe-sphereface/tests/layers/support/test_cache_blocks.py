"""Layers that work piece by piece give what they give in one piece, whatever the order in memory."""

import numpy as np
import pytest
import torch

import caffe
from caffe.layers.support import cache_blocks
from layer_case import layer, make_net, run

LAYERS = {
    'maximum': layer('Pooling', extra='pooling_param { kernel_size: 3 stride: 2 }'),
    'maximum with a wide pad': layer('Pooling', extra='pooling_param { kernel_size: 3 pad: 2 }'),
    'maximum with places': layer('Pooling', tops='y mask', extra='pooling_param { kernel_size: 2 stride: 2 }'),
    'slopes': layer('PReLU'),
    'one slope': layer('PReLU', extra='prelu_param { channel_shared: true }'),
}


def results(text, order, shape):
    net = make_net(text, {'x': shape}, caffe.TRAIN)
    net.blobs['x'].tensor = net.blobs['x'].tensor.contiguous(memory_format=order)
    run(net)
    blobs = [*net.blobs.values(), *net.params.get('layer', ())]
    return [array.copy() for blob in blobs for array in (blob.data, blob.diff)]


@pytest.mark.parametrize('order', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('name', LAYERS)
def test_pieces_give_what_the_whole_gives(name, order, monkeypatch):
    whole = results(LAYERS[name], order, (5, 3, 7, 6))
    for most in (1, 2 * 3 * 7 * 6):
        monkeypatch.setattr(cache_blocks, 'MOST_VALUES', most)
        for got, wanted in zip(results(LAYERS[name], order, (5, 3, 7, 6)), whole, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_places_in_large_planes():
    x = torch.zeros(1, 2, 200, 200)
    x[0, 0, 199, 198] = x[0, 1, 0, 3] = 5
    net = make_net(layer('Pooling', tops='y mask', extra='pooling_param { global_pooling: true }'), {'x': x.shape})
    net.blobs['x'].tensor = x
    net.forward()
    np.testing.assert_array_equal(net.blobs['mask'].data.reshape(-1), [199 * 200 + 198, 3])
    net.blobs['y'].diff[...] = 3
    net.backward()
    np.testing.assert_array_equal(net.blobs['x'].diff, 3 * (x > 0).numpy())


def test_pieces_are_rows_of_all_tensors():
    x, y = torch.zeros(5, 1 << 19), torch.zeros(5, 2)
    parts = list(cache_blocks.blocks(x, y))
    assert [(len(a), len(b)) for a, b in parts] == [(2, 2), (2, 2), (1, 1)]
    assert parts[1][0].data_ptr() == x[2].data_ptr()
    assert cache_blocks.blocks(y, x) == [(y, x)]
