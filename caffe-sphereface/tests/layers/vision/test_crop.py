"""Crop, by hand."""

from layer_case import assert_like_autograd, layer, make_net


def test_crop_takes_the_size_of_the_second_bottom():
    net = make_net(
        layer('Crop', 'x r', extra='crop_param { axis: 2 offset: 1 offset: 2 }'), {'x': (2, 3, 6, 7), 'r': (1, 1, 3, 4)}
    )
    assert_like_autograd(net, lambda x: x[:, :, 1:4, 2:6])
