"""Flatten and Reshape."""

import numpy as np
import pytest

import caffe
from layer_case import layer, make_net, run


@pytest.mark.parametrize(
    'kind, text, shape',
    [
        ('Flatten', '', (2, 60)),
        ('Flatten', 'flatten_param { axis: 0 end_axis: -2 }', (24, 5)),
        ('Flatten', 'flatten_param { axis: 2 end_axis: 2 }', (2, 3, 4, 5)),
        ('Reshape', 'reshape_param { shape { dim: 0 dim: 0 dim: -1 } }', (2, 3, 20)),
        ('Reshape', 'reshape_param { shape { dim: 6 dim: 20 } }', (6, 20)),
        ('Reshape', 'reshape_param { shape { dim: 2 dim: -1 } axis: 1 num_axes: 1 }', None),
        ('Reshape', 'reshape_param { shape { dim: 3 dim: 1 } axis: 1 num_axes: 1 }', (2, 3, 1, 4, 5)),
        ('Reshape', 'reshape_param { shape { dim: 1 } axis: -1 num_axes: 0 }', (2, 3, 4, 5, 1)),
    ],
)
def test_reshaping_shares_memory(kind, text, shape):
    text = layer(kind, extra=text)
    if shape is None:
        with pytest.raises(caffe.CaffeError, match='cannot infer -1'):
            make_net(text, {'x': (2, 3, 4, 5)})
        return
    net = make_net(text, {'x': (2, 3, 4, 5)})
    dy = run(net)['y']
    assert net.blobs['y'].shape == shape
    assert np.shares_memory(net.blobs['y'].data, net.blobs['x'].data)
    assert np.shares_memory(net.blobs['y'].diff, net.blobs['x'].diff)
    np.testing.assert_array_equal(net.blobs['x'].diff, dy.reshape(2, 3, 4, 5))
