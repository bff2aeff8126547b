"""The rules by which channels are followed, against what the engine's layers say of themselves."""

from sphereslim.channels.rules import PER_CHANNEL, RULES
from sphereslim.net.inputs import DATA_TYPES

from caffe.layers import layer_types
from caffe.layers.support.registry import layer_class


def test_types_that_treat_each_channel_by_itself_are_those_of_the_engine():
    assert {name for name in layer_types() if layer_class(name).per_channel} == set(PER_CHANNEL)
    assert set(PER_CHANNEL) <= RULES.keys()


def test_types_that_bring_data_are_those_of_the_engine():
    assert {name for name in layer_types() if layer_class(name).values_from} == set(DATA_TYPES)
