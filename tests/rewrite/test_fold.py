"""Norms, scales and biases folded into the weights beside them."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from masking import randomize
from random_nets import NETS
from repository import SHARED
from sphereslim.commands.program import find_command
from sphereslim.errors import SlimError
from sphereslim.net.messages import copy_of
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import find_layer, parse_net, read_net, write_prototxt
from sphereslim.net.weights import read_weights, set_blob_array, weight_layers, write_weights
from sphereslim.rewrite.fold import fold
from sphereslim.rewrite.fold_check import layer_differences, output_difference

INPUT = 'layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 6 dim: 6 } } }'
CONV = 'convolution_param { num_output: 6 kernel_size: 3'
NORM = 'layer { name: "norm" type: "BatchNorm" bottom: "y" top: "y" batch_norm_param { eps: 0.01 } }'
SCALE = 'layer { name: "scale" type: "Scale" bottom: "y" top: "y" scale_param { bias_term: true } }'
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "%s" top: "f" inner_product_param { num_output: 3 %s } }'


def conv(bottom='x', top='y', extra='pad: 1', kind='Convolution', name='conv'):
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {CONV} {extra} }} }}'


def power(bottom, top, shift=2):
    return (
        f'layer {{ name: "power" type: "Power" bottom: "{bottom}" top: "{top}" '
        f'power_param {{ scale: 3 shift: {shift} }} }}'
    )


def model(*layers):
    net = parse_net('\n'.join([INPUT, *layers]))
    opened = open_net(net)
    randomize(opened, np.random.default_rng(1))
    return net, weights_of(opened)


def folded(*layers):
    """The Folding of such a net with random weights, once its outputs were found the same."""
    before = model(*layers)
    result = fold(*before)
    differences = output_difference(before, (result.net, result.weights))
    assert max(differences.values()) < 1e-5, differences
    return result


def types(result):
    return [layer.type for layer in result.net.layer]


@pytest.mark.parametrize(
    'layer, kind',
    [
        (conv(), 'Convolution'),
        (conv(extra='bias_term: false dilation: 2'), 'Convolution'),
        (conv(extra='group: 2 pad: 1 stride: 2'), 'Convolution'),
        (conv(kind='Deconvolution', extra='group: 2 stride: 2'), 'Deconvolution'),
        (conv(kind='Deconvolution', extra='bias_term: false'), 'Deconvolution'),
        (conv(kind='DepthwiseConvolution', extra='pad: 1 group: 2'), 'DepthwiseConvolution'),
        (conv(kind='ConvolutionDepthwise', extra='pad: 1 stride: 1'), 'ConvolutionDepthwise'),
        (FC.replace('"f"', '"y"') % ('x', ''), 'InnerProduct'),
        (FC.replace('"f"', '"y"') % ('x', 'transpose: true bias_term: false'), 'InnerProduct'),
    ],
)
def test_norm_scale_and_power_fold_into_every_layer_before_them(layer, kind):
    result = folded(layer, NORM, SCALE, power('y', 'z'))
    assert types(result) == ['Input', kind] and result.net.layer[1].top == ['z'] and not result.left
    assert set(result.merged) == {'norm', 'scale', 'power'} and len(weight_layers(result.weights)) == 1


@pytest.mark.parametrize(
    'layer, kind',
    [
        (conv('y', 'z', 'stride: 2 group: 2'), 'Convolution'),
        (conv('y', 'z', 'kernel_size: 1', 'Deconvolution').replace('kernel_size: 3', ''), 'Deconvolution'),
        (FC % ('y', ''), 'InnerProduct'),
        (FC % ('y', 'transpose: true bias_term: false'), 'InnerProduct'),
    ],
)
def test_norm_and_scale_fold_into_a_layer_behind_them_that_does_not_pad(layer, kind):
    norm = NORM.replace('bottom: "y"', 'bottom: "x"')
    assert types(folded(norm, SCALE, layer)) == ['Input', kind]


@pytest.mark.parametrize(
    'layer, reason',
    [(conv('y', 'z'), 'pads with zeros'), (conv('y', 'z', '', 'Deconvolution'), 'a deconvolution, whose borders')],
)
def test_what_has_no_shift_folds_where_the_layer_behind_it_sees_borders(layer, reason):
    assert len(folded(power('x', 'y', shift=0), layer).net.layer) == 2
    result = folded(power('x', 'y'), layer)
    assert len(result.net.layer) == 3 and reason in result.left['power']


def test_a_norm_folds_through_a_mean_and_into_several_readers():
    norm = NORM.replace('bottom: "y"', 'bottom: "x"')
    window = 'pooling_param { pool: AVE kernel_size: 4 stride: 4 }'
    mean = 'layer { name: "mean" type: "Pooling" bottom: "y" top: "m" ' + window + ' }'
    result = folded(norm, mean, FC % ('m', ''), conv('y', 'z', ''))
    assert types(result) == ['Input', 'Pooling', 'InnerProduct', 'Convolution'] and result.merged['norm'] == [
        'fc',
        'conv',
    ]
    padded = folded(norm, mean.replace('kernel_size: 4', 'kernel_size: 4 pad: 1'), FC % ('m', ''))
    assert "'mean' (Pooling)" in padded.left['norm']


def test_bias_and_the_fork_norms_fold():
    bias = 'layer { name: "bias" type: "Bias" bottom: "y" top: "y" }'
    psp = 'layer { name: "psp" type: "BN" bottom: "y" top: "n" bn_param { eps: 0.1 } }'
    segnet = 'layer { name: "segnet" type: "BN" bottom: "n" top: "n" bn_param { bn_mode: INFERENCE } }'
    assert types(folded(conv(), bias, psp, segnet)) == ['Input', 'Convolution']
    assert 'own batch' in folded(conv('x', 'n'), segnet.replace('INFERENCE', 'LEARN')).left['segnet']


@pytest.mark.parametrize('operation, coefficients', [('SUM', 'coeff: 2 coeff: -3'), ('SUM', ''), ('PROD', '')])
def test_sum_and_product_with_a_constant_fold_and_the_constant_goes(operation, coefficients):
    constant = (
        'layer { name: "two" type: "DummyData" top: "c" dummy_data_param { data_filler { value: 2 } '
        'shape { dim: 2 dim: 6 dim: 6 dim: 6 } } }'
    )
    both = (
        f'layer {{ name: "both" type: "Eltwise" bottom: "c" bottom: "y" top: "z" '
        f'eltwise_param {{ operation: {operation} {coefficients} }} }}'
    )
    assert types(folded(conv(), constant, both)) == ['Input', 'Convolution']
    other = both.replace('bottom: "c"', 'bottom: "w"')
    assert types(folded(conv(), conv(top='w', name='other'), other))[-1] == 'Eltwise'


FLATTEN = 'layer { name: "flat" type: "Flatten" bottom: "y" top: "f" }'
SHARED_WEIGHTS = 'param { name: "w" } param { name: "b" } '


@pytest.mark.parametrize(
    'layers, reason',
    [
        ((conv(), NORM.replace('top: "y"', 'top: "n"'), power('y', 'p')), 'other readers'),
        ((conv(), NORM.replace('0.01', '0.01 use_global_stats: false')), 'own batch'),
        ((conv(extra='pad: 1').replace('top: "y"', 'top: "y" loss_weight: 1'), power('y', 'z')), 'loss weight'),
        ((conv(), FLATTEN, NORM.replace('"y"', '"f"'), power('y', 'z')), 'shares with other layers'),
        (
            (
                conv().replace('top: "y"', f'top: "y" {SHARED_WEIGHTS}'),
                NORM,
                conv(top='z', name='twin').replace('top: "z"', f'top: "z" {SHARED_WEIGHTS}'),
            ),
            'shares its weights',
        ),
        ((power('x', 'p'), 'layer { name: "relu" type: "ReLU" bottom: "p" top: "p" }'), 'no weights'),
    ],
)
def test_what_cannot_fold_stays_and_says_why(layers, reason):
    result = folded(*layers)
    assert all(find_layer(result.net, layer) for layer in result.left)
    assert any(reason in why for why in result.left.values()), result.left


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(NETS)
def test_random_nets_give_the_same_when_folded(net):
    opened = open_net(net)
    randomize(opened, np.random.default_rng(0))
    weights = weights_of(opened)
    result = fold(net, weights)
    assert set(result.merged).isdisjoint(layer.name for layer in result.net.layer)
    assert max(output_difference((net, weights), (result.net, result.weights)).values()) < 1e-4


def test_a_train_and_test_net_is_folded_as_it_is_in_test():
    only = ' include { phase: %s } '
    train = NORM.replace('type:', only % 'TRAIN' + 'type:').replace('"norm"', '"other"')
    result = folded(conv(), train, NORM.replace('type:', only % 'TEST' + 'type:'))
    assert types(result) == ['Input', 'Convolution'] and set(result.merged) == {'norm'}


def test_legacy_shapes_stay_legacy_and_weights_in_double_stay_so():
    net, weights = model(conv(extra='bias_term: false'), NORM)
    (blob,) = weight_layers(weights)['conv'].blobs
    values = np.array(blob.data).reshape(6, 4, 3, 3)
    blob.Clear()
    blob.num = blob.channels = 1
    set_blob_array(blob, values)
    result = fold(net, weights)
    weight, bias = weight_layers(result.weights)['conv'].blobs
    assert not weight.HasField('shape') and (bias.num, bias.channels, bias.height, bias.width) == (1, 1, 1, 6)
    assert max(output_difference((net, weights), (result.net, result.weights)).values()) < 1e-5


def files(folder, net, weights):
    folder.mkdir(exist_ok=True)
    write_prototxt(folder / 'net.prototxt', net)
    write_weights(folder / 'net.caffemodel', weights)
    return [str(folder / 'net.prototxt'), str(folder / 'net.caffemodel')]


def command(*words):
    find_command('fold').run([*map(str, words)])


def test_the_command_writes_a_net_of_fewer_layers_and_says_how_near_it_is(tmp_path, capsys):
    given = files(tmp_path / 'net', *model(conv(), NORM, SCALE))
    command(*given, '--out', tmp_path / 'folded')
    assert '2 layers folded, 0 stay' in (said := capsys.readouterr().out) and "output 'y' on random inputs" in said
    net = read_net(tmp_path / 'folded' / 'net.prototxt')
    weights = read_weights(tmp_path / 'folded' / 'net.caffemodel')
    assert len(net.layer) == 2 and find_layer(net, 'conv').convolution_param.bias_term
    assert max(output_difference((read_net(given[0]), read_weights(given[1])), (net, weights)).values()) < 1e-5
    with pytest.raises(SlimError, match='is an input, expected another output folder'):
        command(*given, '--out', tmp_path / 'net')
    with pytest.raises(SlimError, match='expected --out or --check'):
        command(*given)


def test_a_merge_with_another_eps_is_caught_and_explained(tmp_path, capsys):
    net, weights = model(conv(), NORM, SCALE)
    wrong = copy_of(net)
    find_layer(wrong, 'norm').batch_norm_param.eps = 0.1
    merged = fold(wrong, weights)
    (difference,) = layer_differences(fold(net, weights), (merged.net, merged.weights))
    assert difference.layer == 'conv' and len(difference.channels) == difference.of == 6
    assert difference.eps == pytest.approx((0.01, 0.1), rel=1e-3)
    given = files(tmp_path / 'net', net, weights), files(tmp_path / 'merged', merged.net, merged.weights)
    with pytest.raises(SlimError, match='is not .* folded: .* 6 channels of 1 layers differ'):
        command(*given[0], '--check', *given[1])
    assert '0.1, not 0.01' in capsys.readouterr().out


def test_a_right_merge_under_other_names_passes(tmp_path, capsys):
    net, weights = model(conv(), NORM, SCALE)
    merged = fold(net, weights)
    for message in (*merged.net.layer, *merged.weights.layer):
        if message.name == 'conv':
            message.name = message.top[0] = 'other'
    given = files(tmp_path / 'net', net, weights), files(tmp_path / 'merged', merged.net, merged.weights)
    command(*given[0], '--check', *given[1])
    assert 'net.prototxt folded, output ' in capsys.readouterr().out


def test_one_wrong_channel_is_named(tmp_path):
    net, weights = model(conv(), NORM)
    merged = fold(net, weights)
    bias = weight_layers(merged.weights)['conv'].blobs[1]
    set_blob_array(bias, np.array(bias.data) + np.eye(6)[4])
    (difference,) = layer_differences(fold(net, weights), (merged.net, merged.weights))
    assert difference.channels.tolist() == [4] and difference.eps is None


def test_mobilefacenet_folds_whole_to_within_1e_5():
    folder = SHARED / 'data' / 'mobilefacenet'
    if not folder.exists():
        pytest.skip(f'{folder} is not here')
    before = read_net(folder / 'deploy.prototxt'), read_weights(folder / 'mobilefacenet.caffemodel')
    result = fold(*before)
    assert len(result.merged) == 102 and not result.left
    assert max(output_difference(before, (result.net, result.weights)).values()) < 1e-5
