"""Reconstruction without training: what remaining channels can express is given back exactly."""

from functools import partial

import numpy as np
import pytest
from masking import outputs, randomize
from sphereslim.channels.groups import Groups
from sphereslim.channels.surgery import prune
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import layer_type
from sphereslim.net.opened import open_net, weights_of, with_params
from sphereslim.net.prototxt import parse_net
from sphereslim.pruning.recalibrate import recalibrate
from sphereslim.pruning.reconstruct import Fit, readers_of, reconstruct
from sphereslim.pruning.shortcut import shortcut_of
from sphereslim.sampling import least_squares
from sphereslim.sampling import sampler as activations
from sphereslim.sampling.least_squares import Halves, NormalEquations, SampledRows
from sphereslim.sampling.linear_layer import LinearLayer
from sphereslim.sampling.sampler import Sampler

START = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [16, 2, 6, 6] } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 8 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""
INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 3, 4, 4] } } }'
STILL = 'layer { name: "still" type: "Power" bottom: "conv" top: "still" power_param { scale: 0 } }'
READERS = {
    'convolution': 'type: "Convolution" convolution_param { num_output: 4 kernel_size: [3] stride: 2 pad: 1 }',
    'grouped': 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 group: 2 }',
    'inner product': 'type: "InnerProduct" inner_product_param { num_output: 4 }',
    'transposed': 'type: "InnerProduct" inner_product_param { num_output: 4 transpose: true }',
    'before a norm': 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 1 bias_term: false }',
    'before a BN': 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 1 bias_term: false }',
    'of two blobs': 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 }',
}
NORM = """
layer { name: "norm" type: "BatchNorm" bottom: "next" top: "norm" batch_norm_param { use_global_stats: true } }
"""


def net_with(reader):
    norm = {'before a norm': NORM, 'before a BN': 'layer { name: "norm" type: "BN" bottom: "next" top: "norm" }'}
    if reader == 'of two blobs':  # of which the first says nothing about the weights
        blobs = 'bottom: "still" bottom: "conv" top: "first" top: "next"'
        return parse_net(f'{START} {STILL} layer {{ name: "next" {blobs} {READERS[reader]} }}')
    return parse_net(
        f'{START} layer {{ name: "next" bottom: "conv" top: "next" {READERS[reader]} }} {norm.get(reader, "")}'
    )


def batches(rng, number=6):
    return [{'data': rng.normal(0, 1, (16, 2, 6, 6)).astype('f')} for _ in range(number)]


def pruned_twin(reader, seed=0):
    """A net of which each channel 4 + k is that of channel k plus a constant, and that net without channels 4 to 7."""
    rng = np.random.default_rng(seed)
    proto = net_with(reader) if isinstance(reader, str) else reader
    net, groups = open_net(proto), Groups(proto)
    randomize(net, rng)
    weights, bias = net.params['conv']
    half = 2 if reader == 'grouped' else 4
    for block in range(0, 8, 2 * half):
        weights.data[block + half : block + 2 * half] = weights.data[block : block + half]
        bias.data[block : block + 2 * half] = 20  # so that no activation is cut off by the ReLU
        bias.data[block + half : block + 2 * half] += rng.normal(0, 1, half)
    if 'norm' in net.params:
        means = 2 if reader == 'before a BN' else 0
        net.params['norm'][means].data[...] = rng.normal(0, 60, 4).reshape(net.params['norm'][means].data.shape)
    if reader == 'before a norm':
        net.params['norm'][2].data[...] = 2
    kept = {'conv': np.arange(groups.of('conv').size // 2)}
    (small,), small_weights = prune([proto], weights_of(net), kept, groups)
    return groups, kept, net, small, small_weights, batches(rng)


@pytest.mark.parametrize('largest', [5000, 10])
@pytest.mark.parametrize('reader', READERS)
def test_doubled_channels_are_given_back(reader, largest, monkeypatch):
    monkeypatch.setattr(least_squares, 'LARGEST_SYSTEM', largest)
    groups, kept, whole, small, weights, feed = pruned_twin(reader)
    pruned = open_net(small, weights)
    expected, before = outputs(whole, feed[0]), outputs(pruned, feed[0])
    fit = Fit(places=20, ridge=1e-9)
    assert list(reconstruct(groups, kept, Sampler(whole, feed), Sampler(pruned, feed), fit=fit)) == ['next']
    after = outputs(open_net(small, with_params(weights, pruned)), feed[0])
    assert max(np.abs(before[name] - value).max() for name, value in expected.items()) > 0.1
    for name, value in expected.items():
        np.testing.assert_allclose(after[name], value, atol=5e-3 * np.abs(value).max())


TWINS = (
    START
    + STILL.replace('scale: 0', 'scale: 0 shift: 1')
    + """
layer { name: "first" type: "Convolution" bottom: "conv" top: "first" param { name: "w" } param { name: "b" }
        convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "second" type: "Convolution" bottom: "still" top: "second" param { name: "w" } param { name: "b" }
        convolution_param { num_output: 4 kernel_size: 3 stride: 2 } }
"""
)


@pytest.mark.parametrize('bias', ['b', 'of its own'])
def test_layers_that_share_their_parameters_are_refitted_together(bias):
    proto = parse_net(TWINS)
    proto.layer[-1].param[1].name = bias
    groups, kept, whole, small, weights, feed = pruned_twin(proto)
    pruned = open_net(small, weights)
    expected, before = outputs(whole, feed[0]), outputs(pruned, feed[0])
    fit = Fit(places=20, ridge=1e-9)
    assert list(reconstruct(groups, kept, Sampler(whole, feed), Sampler(pruned, feed), fit=fit)) == ['first', 'second']
    after = outputs(open_net(small, with_params(weights, pruned)), feed[0])
    for name, value in (expected if bias == 'b' else before).items():
        np.testing.assert_allclose(after[name], value, atol=0.02 * np.abs(value).max())


DEPTHWISE = """
layer { name: "each" type: "Convolution" bottom: "conv" top: "each"
        convolution_param { num_output: 8 group: 8 kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "next" type: "Convolution" bottom: "each" top: "next"
        convolution_param { num_output: 4 kernel_size: 1 } }
"""


def test_a_depthwise_convolution_makes_up_for_what_each_channel_before_it_lacks():
    rng = np.random.default_rng(0)
    proto, feed = parse_net(START + DEPTHWISE), batches(rng)
    whole, groups = open_net(proto), Groups(proto)
    randomize(whole, rng)
    whole.params['conv'][1].data[...] = 20  # so that no activation is cut off by the ReLU
    kept = {'conv': np.array([0, 2, 3, 5, 6])}
    (small,), weights = prune([proto], weights_of(whole), kept, groups)
    pruned = open_net(small, weights)
    for blob in pruned.params['conv']:  # each channel half as large as it should be
        blob.data[...] /= 2
    wrong, fit = read_by_next(pruned, feed[0]), Fit(places=20, ridge=1e-9)
    assert list(reconstruct(groups, kept, Sampler(whole, feed), Sampler(pruned, feed), ['each'], fit)) == ['each']
    expected = read_by_next(whole, feed[0])[:, kept['conv']]
    assert np.abs(wrong - expected).max() > 1
    np.testing.assert_allclose(read_by_next(pruned, feed[0]), expected, atol=5e-3 * np.abs(expected).max())


def read_by_next(net, batch):
    outputs(net, batch)
    return np.array(net.blobs['each'].data)


def test_only_layers_that_lose_inputs_are_refitted():
    groups = Groups(net_with('convolution'))
    assert readers_of(groups, {'conv': np.arange(8)}) == []
    assert readers_of(groups, {'conv': np.arange(7)}) == ['next']


def test_a_layer_without_a_matrix_is_refused():
    groups, _, net, *_ = pruned_twin('convolution')
    with pytest.raises(SlimError, match="layer 'relu' cannot be reconstructed"):
        LinearLayer(groups.trace, 'relu', net)


def test_both_forms_of_the_ridge_solution_agree():
    rng = np.random.default_rng(0)
    x, y, start = rng.normal(size=(30, 12)), rng.normal(size=(30, 3)), rng.normal(size=(12, 3))
    fits = NormalEquations(12, 3), SampledRows(40, rng)
    for fit in fits:
        fit.add(x[:20], y[:20])
        fit.add(x[20:], y[20:])
    first, second = (fit.solution(start, 0.1) for fit in fits)
    np.testing.assert_allclose(first, second, atol=1e-5)
    slope = x.T @ (x @ first - y) + 0.1 * (x**2).sum() / 12 * (first - start)
    np.testing.assert_allclose(slope, 0, atol=1e-9)


@pytest.mark.parametrize('kind', ['products', 'rows'])
@pytest.mark.parametrize('rows, noise, expected', [(40, 3.0, (1e-2, 10)), (4000, 1e-3, (0, 1e-5))])
def test_the_ridge_is_chosen_by_what_it_is_worth_on_other_rows(kind, rows, noise, expected):
    rng = np.random.default_rng(0)
    true = rng.normal(size=(30, 2))
    x = rng.normal(size=(rows, 30))
    y = x @ true + rng.normal(0, noise, (rows, 2))
    start = true + rng.normal(0, 0.1, true.shape)
    halves = Halves(partial(NormalEquations, 30, 2) if kind == 'products' else partial(SampledRows, rows, rng))
    halves.add(x, y)
    assert expected[0] <= halves.best_ridge(start) <= expected[1]
    fixed = np.square(halves.solution(start, 1e-6) - true).sum()
    assert np.square(halves.solution(start) - true).sum() <= 1.01 * fixed


@pytest.mark.parametrize('kind', ['BatchNorm', 'BN'])
def test_recalibration_measures_what_the_norm_reads(kind):
    rng = np.random.default_rng(0)
    proto, feed = net_with('before a norm'), batches(rng)
    proto.layer[-1].type = kind
    net = open_net(proto)
    randomize(net, rng)
    found = recalibrate(proto, weights_of(net), feed)
    read = np.concatenate([_next(net, batch) for batch in feed]).transpose(1, 0, 2, 3).reshape(4, -1)
    blobs = [np.array(blob.data) for blob in next(ly for ly in found.layer if ly.name == 'norm').blobs]
    mean, variance, *factor = blobs if kind == 'BatchNorm' else blobs[2:]
    np.testing.assert_allclose(mean, read.mean(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance, read.var(axis=1, ddof=int(kind == 'BatchNorm')), rtol=1e-4)
    assert [f.tolist() for f in factor] == ([[1]] if kind == 'BatchNorm' else [])
    if kind == 'BN':  # slope and bias stay what they are
        np.testing.assert_allclose(blobs[:2], [blob.data.ravel() for blob in net.params['norm'][:2]], rtol=1e-6)


def test_two_bn_layers_are_measured_in_one_pass_as_one_after_the_other_would_be():
    rng = np.random.default_rng(2)
    text = START.replace('type: "ReLU" bottom: "conv" top: "conv"', 'type: "BN" bottom: "conv" top: "conv"')
    next_norm = 'layer { name: "norm" type: "BN" bottom: "next" top: "norm" }'
    proto = parse_net(
        f'{text} layer {{ name: "next" bottom: "conv" top: "next" {READERS["convolution"]} }} {next_norm}'
    )
    net, (batch,) = open_net(proto), batches(rng, 1)
    randomize(net, rng)
    found = recalibrate(proto, weights_of(net), [batch])
    again = open_net(proto, found)
    normed = outputs(again, batch)['norm'].transpose(1, 0, 2, 3).reshape(4, -1)
    slope, bias = (blob.data.ravel() for blob in again.params['norm'][:2])
    np.testing.assert_allclose(normed.mean(1), bias, atol=1e-3)
    np.testing.assert_allclose(normed.std(1), np.abs(slope), rtol=1e-2)


def test_segnets_norm_stores_nothing_to_recalibrate():
    proto = parse_net(START + 'layer { name: "n" type: "BN" bottom: "conv" top: "n" bn_param { bn_mode: LEARN } }')
    with pytest.raises(SlimError, match='no BatchNorm layer to recalibrate, nor a BN layer'):
        recalibrate(proto, weights_of(open_net(proto)), [])


def _next(net, batch):
    net.blobs['data'].data[...] = batch['data']
    net._forward(0, list(net._layer_names).index('next'))
    return np.array(net.blobs['next'].data)


def test_recalibration_without_a_norm_or_pictures_is_refused():
    proto = net_with('convolution')
    with pytest.raises(SlimError, match='has no BatchNorm layer'):
        recalibrate(proto, weights_of(open_net(proto)), [])
    proto = net_with('before a norm')
    with pytest.raises(SlimError, match='no batch to recalibrate on'):
        recalibrate(proto, weights_of(open_net(proto)), [])


BLOCK = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [16, 3, 6, 6] } } }
layer { name: "one" type: "Convolution" bottom: "data" top: "one" convolution_param { num_output: 6 kernel_size: 1 } }
layer { name: "relu" type: "ReLU" bottom: "one" top: "one" }
layer { name: "trunk" type: "Convolution" bottom: "one" top: "trunk"
        convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "inner" type: "Convolution" bottom: "data" top: "inner"
        convolution_param { num_output: 12 kernel_size: 1 bias_term: false } }
layer { name: "last" type: "Convolution" bottom: "inner" top: "last"
        convolution_param { num_output: 2 kernel_size: 1 bias_term: false } }
layer { name: "norm" type: "BatchNorm" bottom: "last" top: "norm" }
layer { name: "scale" type: "Scale" bottom: "norm" top: "norm" scale_param { bias_term: true } }
layer { name: "sum" type: "Eltwise" bottom: "trunk" bottom: "norm" top: "sum" eltwise_param { coeff: 1 coeff: 0.5 } }
layer { name: "next" type: "Convolution" bottom: "sum" top: "next"
        convolution_param { num_output: 3 kernel_size: 1 } }
"""


ASIDE = 'layer { name: "aside" type: "Power" bottom: "trunk" top: "aside" }\n'  # Caffe splits what two layers read


@pytest.mark.parametrize('aside, last_batch', [('', 16), (ASIDE, 16), (ASIDE, 5)])
def test_the_last_layer_of_a_block_makes_up_for_its_shortcut(aside, last_batch):
    rng = np.random.default_rng(0)
    proto = parse_net(BLOCK.replace('layer { name: "inner"', f'{aside}layer {{ name: "inner"'))
    net, groups = open_net(proto), Groups(proto)
    randomize(net, rng)
    # the ReLU never cuts, so that what the trunk loses is linear in the picture, which the inner layer passes on
    net.params['one'][1].data[...] = 50
    feed = [{'data': rng.normal(0, 1, (size, 3, 6, 6)).astype('f')} for size in (16, 16, 16, last_batch)]
    kept = {'one': [0], 'inner': np.arange(8)}
    (small,), weights = prune([proto], weights_of(net), kept, groups)
    pruned = open_net(small, weights)
    expected = outputs(net, feed[0])['next']
    assert readers_of(groups, kept) == ['trunk', 'last']
    layers = ['trunk', 'inner', 'last']
    list(reconstruct(groups, kept, Sampler(net, feed), Sampler(pruned, feed), layers, Fit(20, 1e-9)))
    found = outputs(open_net(small, with_params(weights, pruned)), feed[0])['next']
    np.testing.assert_allclose(found, expected, atol=5e-3 * np.abs(expected).max())


def test_each_output_of_a_convolution_may_end_in_a_sum():
    rng = np.random.default_rng(0)
    twice = 'bottom: "inner" bottom: "inner" top: "x" top: "last"'
    proto = parse_net(BLOCK.replace('bottom: "inner" top: "last"', twice))
    net, groups = open_net(proto), Groups(proto)
    randomize(net, rng)
    assert [shortcut_of(groups.trace, 'last', top, net) is not None for top in ('x', 'last')] == [False, True]
    feed = [{'data': rng.normal(0, 1, (16, 3, 6, 6)).astype('f')}]
    kept = {'one': [0], 'inner': np.arange(8)}
    (small,), weights = prune([proto], weights_of(net), kept, groups)
    pruned, expected = open_net(small, weights), outputs(net, feed[0])
    found = [outputs(pruned, feed[0])]
    list(reconstruct(groups, kept, Sampler(net, feed), Sampler(pruned, feed), fit=Fit(20, 1e-9)))
    found.append(outputs(pruned, feed[0]))
    before, after = (np.square(values['next'] - expected['next']).sum() for values in found)
    assert after < before / 2


def shortcut_behind(layers):
    text = BLOCK.replace('layer { name: "norm" type: "BatchNorm" bottom: "last" top: "norm" }', layers[0])
    text = text.replace('type: "Scale" bottom: "norm" top: "norm" scale_param { bias_term: true }', layers[1])
    net = open_net(parse_net(text))
    randomize(net, np.random.default_rng(0))
    return shortcut_of(Groups(parse_net(text)).trace, 'last', 'last', net)


NORMED, SCALED = 'type: "BatchNorm" bottom: "last" top: "norm"', 'type: "Scale" bottom: "norm" top: "norm"'


@pytest.mark.parametrize(
    'norm, scale, known',
    [
        (NORMED, f'{SCALED} scale_param {{ bias_term: true }}', True),
        (f'{NORMED} batch_norm_param {{ use_global_stats: true }}', SCALED, True),
        (f'{NORMED} batch_norm_param {{ use_global_stats: false }}', SCALED, False),
        ('type: "BN" bottom: "last" top: "norm"', SCALED, True),
        ('type: "BN" bottom: "last" top: "norm" bn_param { frozen: false }', SCALED, True),
        ('type: "BN" bottom: "last" top: "norm" bn_param { bn_mode: LEARN }', SCALED, False),
        (NORMED, f'{SCALED} scale_param {{ num_axes: 2 }}', False),
        (NORMED, f'{SCALED} scale_param {{ num_axes: -1 bias_term: true }}', False),
        (NORMED, f'{SCALED} scale_param {{ num_axes: 0 }}', False),
    ],
)
def test_a_sum_is_seen_through_what_is_one_factor_a_channel(norm, scale, known):
    assert (shortcut_behind([f'layer {{ name: "norm" {norm} }}', scale]) is not None) == known


def test_a_bn_layer_is_seen_as_the_factor_and_the_summand_that_it_computes():
    text = 'layer { name: "norm" type: "BN" bottom: "x" top: "norm" }'
    net = open_net(parse_net(f'{INPUT} {text}'))
    randomize(net, np.random.default_rng(0))
    layer = parse_net(text).layer[0]
    factor, summand = layer_type(layer).statistics.affine(layer, [blob.data for blob in net.params['norm']])
    x = np.random.default_rng(1).normal(size=net.blobs['x'].data.shape)
    per_channel = (1, -1, 1, 1)
    expected = x * factor.reshape(per_channel) + summand.reshape(per_channel)
    np.testing.assert_allclose(outputs(net, {'x': x})['norm'], expected, atol=1e-5)


def test_going_on_may_go_back():
    proto = net_with('convolution')
    net, feed = open_net(proto), batches(np.random.default_rng(0), 2)
    randomize(net, np.random.default_rng(1))
    sampler = Sampler(net, feed)
    stops = [sampler.after('conv', 'conv'), sampler.after('next', 'next')]
    expected = [[blob.copy() for (blob,) in sampler.blobs([stop])] for stop in stops]
    for number in (1, 0, 1):
        found = [blob for (blob,) in sampler.onward([stops[number]])]
        for one, other in zip(found, expected[number], strict=True):
            np.testing.assert_array_equal(one, other)


def test_batches_that_are_not_held_give_the_same_refit(monkeypatch):
    found = []
    for limit in (activations.LARGEST_HELD, 1):
        monkeypatch.setattr(activations, 'LARGEST_HELD', limit)
        groups, kept, whole, small, weights, feed = pruned_twin('convolution')
        pruned = open_net(small, weights)
        list(reconstruct(groups, kept, Sampler(whole, feed), Sampler(pruned, feed), ['conv', 'next'], Fit(20)))
        found.append(np.array(pruned.params['next'][0].data))
    np.testing.assert_allclose(*found, atol=1e-5)
