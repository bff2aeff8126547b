"""LRN, against PyTorch with autograd."""

import torch.nn.functional as F

from layer_case import assert_like_autograd, layer, make_net


def test_lrn_across_channels():
    net = make_net(layer('LRN', extra='lrn_param { local_size: 5 alpha: 0.3 beta: 0.7 k: 2 }'), {'x': (2, 7, 3, 2)})
    assert_like_autograd(net, lambda x: F.local_response_norm(x, 5, 0.3, 0.7, 2))


def test_lrn_within_channels_has_no_k():
    text = 'lrn_param { local_size: 3 alpha: 0.3 beta: 0.7 k: %d norm_region: WITHIN_CHANNEL }'
    net = make_net(layer('LRN', extra=text % 2), {'x': (2, 3, 5, 4)})
    assert_like_autograd(net, lambda x: x / (1 + 0.3 * F.avg_pool2d(x * x, 3, 1, 1)) ** 0.7)
