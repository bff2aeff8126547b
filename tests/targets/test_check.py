"""What a target cannot read is named, with what to do about it."""

import pytest
from sphereslim.errors import SlimError
from sphereslim.net.prototxt import parse_net
from sphereslim.targets.check import NOTE, OBSTACLE, SLOW, check
from sphereslim.targets.facts import read_target, target_names

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 24, 20] } } }\n'
CONV = """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: %d kernel_size: %d stride: %d } }
"""
PRELU = 'layer { name: "act" type: "PReLU" bottom: "conv" top: "conv" }\n'


def found(text, target, kind=None, **options):
    findings = check(parse_net(INPUT + text), read_target(target), **options)
    return [finding for finding in findings if kind in (None, finding.kind)]


def test_a_layer_that_the_target_lacks_is_named_with_what_to_do():
    (finding,) = found(CONV % (8, 3, 1) + PRELU, 'k210', OBSTACLE)
    assert finding.what == 'PReLU: there is no such layer'
    assert finding.layers == ['act']
    assert 'substitute --module relu' in finding.instead
    assert finding.source.startswith('https://')


def test_layers_with_the_same_fault_are_told_together():
    text = ''.join(
        (CONV % (8, 3, 1) + PRELU).replace('"conv"', f'"conv{i}"').replace('"act"', f'"act{i}"') for i in '12'
    )
    (finding,) = found(text, 'k210', OBSTACLE)
    assert finding.layers == ['act1', 'act2']


@pytest.mark.parametrize('width, told', [(8, []), (12, []), (10, ['conv (10)'])])
def test_widths_that_cost_speed_in_ncnn_are_told_and_are_no_obstacle(width, told):
    findings = found(CONV % (width, 3, 1), 'ncnn')
    assert [finding.kind for finding in findings] == [SLOW] * len(told)
    assert [name for finding in findings for name in finding.layers] == told


def test_kernels_and_strides_beyond_the_chips_are_told_with_their_size():
    findings = found(CONV % (8, 5, 3), 'k210', SLOW)
    assert {finding.what.split(': ')[1]: finding.layers for finding in findings} == {
        'the KPU computes kernels of 1 and 3, the CPU others': ['conv (5)'],
        'strides other than 1 and 2 are computed in full and thinned out': ['conv (3)'],
    }


def test_a_net_over_the_chips_memory_is_told_with_both_sizes():
    wide = (
        'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4100 } }\n'
    )
    (finding,) = found(wide, 'k210', OBSTACLE)
    assert '5,767,168' in finding.what and f'{1440 * 4100 + 4100:,}' in finding.what and not finding.layers


def test_features_over_the_chips_memory_follow_from_the_shape_of_the_input():
    assert not found(CONV % (8, 3, 1), 'k210', OBSTACLE)
    (finding,) = found(CONV % (64, 3, 1), 'k210', OBSTACLE, shape=(1, 3, 240, 320))
    assert '2,097,152' in finding.what


def test_a_field_of_a_fork_is_named():
    pool = (
        'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 2 ceil_mode: false } }'
    )
    (finding,) = found(pool, 'bvlc', OBSTACLE)
    assert finding.what == 'Pooling: there is no field pooling_param.ceil_mode'
    assert 'caffe upgrade_net -to bvlc' in finding.instead


def test_what_no_public_source_says_is_a_note():
    (finding,) = found('layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }', 'nnie')
    assert (finding.kind, finding.source) == (NOTE, 'unverified')


def test_an_unknown_target_is_told_with_those_that_there_are():
    with pytest.raises(SlimError, match=f"no target 'tpu', expected one of {', '.join(target_names())}"):
        read_target('tpu')
