"""The workflow's table of layer types, against what the engine's layers say of themselves."""

import pytest
from sphereslim.net.layer_types import LAYER_TYPES, is_padded, pads_sides, types_with
from sphereslim.net.prototxt import parse_net

from caffe.layers.support.registry import layer_class


def test_types_that_treat_each_channel_by_itself_say_so_in_the_engine():
    assert set(types_with('per_channel')) == {name for name in LAYER_TYPES if layer_class(name).per_channel}


def test_types_that_feed_a_net_say_so_in_the_engine():
    assert set(types_with('data')) == {name for name in LAYER_TYPES if layer_class(name).values_from}


@pytest.mark.parametrize('name', types_with('refittable'))
def test_types_whose_weights_are_refitted_multiply_and_add_in_the_engine(name):
    assert layer_class(name).folds_as in ('convolution', 'product')


@pytest.mark.parametrize(
    ('kind', 'text', 'padded', 'sides'),
    [
        ('Convolution', 'convolution_param { kernel_size: 3 }', False, False),
        ('Convolution', 'convolution_param { pad: 0 pad: 1 }', True, False),
        ('Convolution', 'convolution_param { pad_w: 1 }', True, False),
        ('Convolution', 'convolution_param { pad_l: 0 pad_b: 1 }', True, True),
        ('Pooling', 'pooling_param { pad: 1 }', True, False),
        ('Pooling', 'pooling_param { pad_type: 1 stride: 2 kernel_size: 2 }', True, True),
    ],
)
def test_padding_is_seen_in_every_form(kind, text, padded, sides):
    (layer,) = parse_net(f'layer {{ name: "a" type: "{kind}" bottom: "x" top: "y" {text} }}').layer
    param = layer.pooling_param if kind == 'Pooling' else layer.convolution_param
    assert (is_padded(param), pads_sides(param)) == (padded, sides)
