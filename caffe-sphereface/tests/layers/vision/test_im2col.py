"""Im2col, against PyTorch."""

import torch.nn.functional as F

from layer_case import assert_like_autograd, layer, make_net


def test_im2col_orders_channels_as_unfold_does():
    net = make_net(
        layer('Im2col', extra='convolution_param { kernel_size: 3 stride: 2 pad: 1 dilation: 2 }'), {'x': (2, 3, 9, 8)}
    )
    assert_like_autograd(net, lambda x: F.unfold(x, 3, 2, 1, 2).reshape(2, 27, 4, 3))
