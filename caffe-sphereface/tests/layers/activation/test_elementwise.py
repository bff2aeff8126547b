"""Element-wise layers against NumPy, numeric gradients and themselves in place."""

import numpy as np
import pytest

import caffe
from gradcheck import check_gradient
from layer_case import layer, make_net, run
from neuron_cases import CASES, DIFFERENTIABLE, SHAPE, text_of, values_of


def filled(case, tops='y'):
    net = make_net(text_of(case, tops), SHAPE)
    net.blobs['x'].data[...] = values_of(case)
    return net


@pytest.mark.parametrize('case', CASES)
def test_values(case):
    net = filled(case)
    net.forward()
    np.testing.assert_allclose(net.blobs['y'].data, CASES[case][1](values_of(case)), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize('case', DIFFERENTIABLE)
def test_backward_is_the_derivative(case):
    check_gradient(text_of(case), SHAPE, values={'x': values_of(case)}, kinks=CASES[case][2])


@pytest.mark.parametrize('case', [case for case in DIFFERENTIABLE if case != 'AbsVal'])
@pytest.mark.parametrize('viewed', [False, True])
def test_in_place_gives_the_same(case, viewed):
    apart, within = filled(case), filled(case, 'x')
    view = within.blobs['x'].data if viewed else None
    diffs = run(apart)
    assert list(diffs) == ['y']
    run(within)
    np.testing.assert_allclose(within.blobs['x'].data, apart.blobs['y'].data, rtol=1e-6)
    np.testing.assert_allclose(within.blobs['x'].diff, apart.blobs['x'].diff, rtol=1e-5, atol=1e-6)
    assert view is None or view is within.blobs['x'].data


def test_clip_passes_the_gradient_at_its_bounds():
    net = make_net(layer('Clip', extra='clip_param { min: -1 max: 1 }'), {'x': (4,)})
    net.blobs['x'].data[...] = [-2, -1, 1, 2]
    net.forward()
    net.blobs['y'].diff[...] = 1
    net.backward()
    assert net.blobs['x'].diff.tolist() == [0, 1, 1, 0]


def test_bnll_far_from_zero():
    net = make_net(layer('BNLL'), {'x': (3,)})
    net.blobs['x'].data[...] = [-200, 0, 200]
    net.forward()
    np.testing.assert_allclose(net.blobs['y'].data, [0, np.log(2), 200], rtol=1e-6)


@pytest.mark.parametrize(
    'kind, extra, message',
    [
        ('Exp', 'exp_param { base: -2 }', 'base is -2'),
        ('Log', 'log_param { base: 0 }', 'base is 0'),
        ('Log', 'log_param { base: 1 }', 'base is 1'),
        ('Clip', '', 'no clip_param'),
    ],
)
def test_parameters_that_cannot_be(kind, extra, message):
    with pytest.raises(caffe.CaffeError, match=f"'layer' \\({kind}\\): .*{message}"):
        make_net(layer(kind, extra=extra), SHAPE)


def test_threshold_has_no_gradient():
    net = make_net(layer('Threshold'), SHAPE)
    net.forward()
    with pytest.raises(caffe.CaffeError, match='no gradient'):
        net.backward()
