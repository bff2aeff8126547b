"""The data files of the targets are whole: every name in them is known, every fact has a source."""

import pytest
from sphereslim.engine import caffe_pb2
from sphereslim.targets.facts import ANY, MEASURED, UNVERIFIED, read_target, target_names
from sphereslim.targets.quantities import SIZES, VALUES

from caffe.layers.support.registry import layer_types

TARGETS = [read_target(name) for name in target_names()]
BVLC_ONLY = {'Python'}  # types of genuine Caffe that a module of the user's names


def test_the_targets_of_the_documentation_are_there():
    assert target_names() == ['bvlc', 'k210', 'ncnn', 'nnie', 'onnxruntime', 'opencv4', 'opencv5', 'rknn1']


@pytest.mark.parametrize('target', TARGETS, ids=lambda target: target.name)
def test_every_source_is_a_public_address_and_is_used(target):
    used = {*target.layers, *(rule.source for rule in (*target.rules, *target.sizes))}
    assert used - {MEASURED, UNVERIFIED} == {*target.sources} - {'reader'}
    assert all(address.startswith('https://') for address in target.sources.values())


@pytest.mark.parametrize('target', TARGETS, ids=lambda target: target.name)
def test_every_type_is_one_of_the_engines_and_stands_once(target):
    kinds = [kind for kinds in target.layers.values() for kind in kinds]
    assert len(kinds) == len({*kinds})
    assert {*kinds, *target.instead} - {*layer_types(), ANY} <= BVLC_ONLY
    assert ANY in target.instead


@pytest.mark.parametrize('target', TARGETS, ids=lambda target: target.name)
def test_every_rule_is_about_something_known(target):
    assert all(rule.value in SIZES for rule in target.sizes)
    for rule in target.rules:
        assert {*rule.types} <= {*target.types}, rule
        assert rule.value in VALUES or is_field(rule.value), rule


def is_field(path):
    descriptor = caffe_pb2.LayerParameter.DESCRIPTOR
    *outer, last = path.split('.')
    for name in outer:
        descriptor = descriptor.fields_by_name[name].message_type
    return last in descriptor.fields_by_name
