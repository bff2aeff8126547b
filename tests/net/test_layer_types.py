"""The workflow's table of layer types, against what the engine's layers say of themselves."""

import pytest
from sphereslim.net.layer_types import LAYER_TYPES, types_with

from caffe.layers.support.registry import layer_class


def test_types_that_treat_each_channel_by_itself_say_so_in_the_engine():
    assert set(types_with('per_channel')) == {name for name in LAYER_TYPES if layer_class(name).per_channel}


def test_types_that_feed_a_net_say_so_in_the_engine():
    assert set(types_with('data')) == {name for name in LAYER_TYPES if layer_class(name).values_from}


@pytest.mark.parametrize('name', types_with('refittable'))
def test_types_whose_weights_are_refitted_multiply_and_add_in_the_engine(name):
    assert layer_class(name).folds_as in ('convolution', 'product')
