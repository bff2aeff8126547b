"""SPP: pyramids of pooled windows."""

import numpy as np
import torch
import torch.nn.functional as F

from layer_case import assert_like_autograd, layer, make_net


def test_spatial_pyramid_gives_one_length_for_all_sizes():
    net = make_net(layer('SPP', extra='spp_param { pyramid_height: 3 }'), {'x': (2, 3, 8, 12)})
    assert net.blobs['y'].shape == (2, 3 * (1 + 4 + 16))
    net.forward()
    np.testing.assert_array_equal(net.blobs['y'].data[:, :3], net.blobs['x'].data.max((2, 3)))
    np.testing.assert_array_equal(
        net.blobs['y'].data[:, 15:].reshape(2, 3, 4, 4), F.max_pool2d(torch.tensor(net.blobs['x'].data), (2, 3))
    )
    net.blobs['x'].reshape(2, 3, 16, 8)
    net.forward()
    assert net.blobs['y'].shape == (2, 3 * (1 + 4 + 16))


def test_a_pyramid_of_one_level_is_global_pooling():
    net = make_net(layer('SPP', extra='spp_param { pyramid_height: 1 }'), {'x': (2, 3, 4, 5)})
    assert net.blobs['y'].shape == (2, 3, 1, 1)
    assert_like_autograd(net, lambda x: F.max_pool2d(x, (4, 5)))


def test_pyramid_windows_share_what_they_exceed_the_picture_by():
    """Two windows of 3 over 5 places begin one place before the picture: they see 2 and 3 places of it."""
    net = make_net(layer('SPP', extra='spp_param { pyramid_height: 2 }'), {'x': (1, 1, 5, 5)})
    net.forward()
    x = net.blobs['x'].data[0, 0]
    expected = [x.max(), *(part.max() for rows in np.split(x, [2]) for part in np.split(rows, [2], axis=1))]
    np.testing.assert_array_equal(net.blobs['y'].data[0], expected)
