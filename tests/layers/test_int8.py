"""Layers of a net in int8, computed in float32."""

import numpy as np
import pytest
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import parse_net

INPUT = 'layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 5 dim: 5 } } }\n'


def fake(blob='x', top='y', low=-1, high=3, steps=255):
    return (
        f'layer {{ name: "q_{top}" type: "FakeQuantize" bottom: "{blob}" top: "{top}" '
        f'fake_quantize_param {{ low: {low} high: {high} steps: {steps} }} }}\n'
    )


def opened(text, phase=1):
    caffe.set_random_seed(0)
    net = open_net(parse_net(INPUT + text), phase=phase, backward=True)
    net.blobs['x'].data[...] = np.random.default_rng(0).normal(size=(2, 4, 5, 5))
    return net


def conv(kind, extra=''):
    return (
        f'layer {{ name: "c" type: "{kind}" bottom: "x" top: "y" convolution_param {{ num_output: 6 kernel_size: 3 '
        f'weight_filler {{ type: "gaussian" std: 1 }} bias_filler {{ value: 0.5 }} {extra} }} }}'
    )


def product(kind, extra=''):
    return (
        f'layer {{ name: "c" type: "{kind}" bottom: "x" top: "y" inner_product_param {{ num_output: 6 '
        f'weight_filler {{ type: "gaussian" std: 1 }} bias_filler {{ value: 0.5 }} {extra} }} }}'
    )


def test_values_are_those_of_256_steps_and_zero_is_one_of_them():
    net = opened(fake(low=-0.5, high=2.05))  # steps of 0.01
    net.blobs['x'].data.ravel()[:6] = [0, 0.014, 0.016, -3, 9, -0.123]
    assert net.forward()['y'].ravel()[:6] == pytest.approx([0, 0.01, 0.02, -0.5, 2.05, -0.12], abs=1e-6)
    symmetric = opened(fake(low=-1.27, high=1.27, steps=254))
    symmetric.blobs['x'].data.ravel()[:3] = [-2, 0.012, 2]
    assert symmetric.forward()['y'].ravel()[:3] == pytest.approx([-1.27, 0.01, 1.27], abs=1e-6)


@pytest.mark.parametrize('top', ['x', 'y'])
def test_the_gradient_goes_straight_through_inside_and_to_the_ends_outside(top):
    net = opened(fake(top=top, low=-0.5, high=0.5), phase=0)
    x = np.array(net.blobs['x'].data)
    net.forward()
    y, dy = np.array(net.blobs[top].data), np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    net.blobs[top].diff[...] = dy
    net.backward()
    inside = (x >= -0.5) & (x <= 0.5)
    if top != 'x':
        assert net.blobs['x'].diff == pytest.approx(np.where(inside, dy, 0))
    step = (dy * (y - x))[inside].sum()
    ends = [dy[x < -0.5].sum() - step, dy[x > 0.5].sum() + step]
    assert net.params[f'q_{top}'][0].diff == pytest.approx(ends, rel=1e-4)


@pytest.mark.parametrize(
    'text',
    [
        conv('%sConvolution'),
        conv('%sConvolution', 'group: 2 bias_term: false'),
        product('%sInnerProduct'),
        product('%sInnerProduct', 'transpose: true'),
    ],
)
@pytest.mark.parametrize('phase', [0, 1])
def test_a_layer_in_int8_is_the_layer_with_rounded_filters_and_has_its_gradients(text, phase):
    rounded, plain = opened(text % 'Int8', phase), opened(text % '', phase)
    weight = rounded.params['c'][0].data
    by_filter = weight.T if 'transpose' in text else weight.reshape(len(weight), -1)
    step = np.abs(by_filter).max(axis=1, keepdims=True) / 127
    numbers = np.rint(by_filter / step)
    assert np.abs(by_filter - numbers * step).max() > 1e-4 and np.abs(numbers).max() == 127
    shown = (numbers * step).T if 'transpose' in text else (numbers * step).reshape(weight.shape)
    plain.params['c'][0].data[...] = shown
    for own, other in zip(rounded.params['c'][1:], plain.params['c'][1:]):
        other.data[...] = own.data
    assert rounded.forward()['y'] == pytest.approx(plain.forward()['y'], rel=1e-5, abs=1e-5)
    dy = np.random.default_rng(1).normal(size=rounded.blobs['y'].data.shape)
    for net in (rounded, plain):
        net.blobs['y'].diff[...] = dy
        net.backward()
    assert rounded.blobs['x'].diff == pytest.approx(plain.blobs['x'].diff, rel=1e-4, abs=1e-4)
    for own, other in zip(rounded.params['c'], plain.params['c']):
        assert own.diff == pytest.approx(other.diff, rel=1e-4, abs=1e-4) and np.abs(own.diff).max() > 0


def test_a_span_without_zero_is_refused():
    with pytest.raises(SlimError, match=r"layer 'q_y' \(FakeQuantize\): .*expected 0 between low and high"):
        opened(fake(low=1, high=2))
