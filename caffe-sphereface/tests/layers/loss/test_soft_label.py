"""SoftmaxCrossEntropyLoss against its equation, and its gradient against numeric ones."""

import numpy as np
import pytest

import caffe
from caffe.errors import CaffeError
from gradcheck import check_gradient
from layer_case import layer, make_net

SHAPES = {'x': (2, 4, 3, 2), 't': (2, 4, 3, 2)}
TARGETS = np.random.default_rng(0).dirichlet(np.ones(4), (2, 3, 2)).transpose(0, 3, 1, 2)
TARGETS[0, :, 0, 0] = 0, 1, 0, 0
SCORES_ALONE = 'propagate_down: true propagate_down: false'


def case(extra=''):
    return layer('SoftmaxCrossEntropyLoss', 'x t', 'loss', extra)


def test_the_loss_is_the_divergence_of_likelihoods_from_targets_over_the_batch():
    net = make_net(case(), SHAPES)
    net.blobs['t'].data[...] = TARGETS
    x = net.blobs['x'].data
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    each = np.where(TARGETS > 0, TARGETS * (np.log(np.where(TARGETS > 0, TARGETS, 1)) - np.log(p)), 0)
    assert float(net.forward()['loss']) == pytest.approx(each.sum() / 2, rel=1e-5)
    net.layers[-1].backward([net.blobs['loss']], [True, False], [net.blobs['x'], net.blobs['t']])
    np.testing.assert_allclose(net.blobs['x'].diff, (p - TARGETS) / 2, rtol=1e-4, atol=1e-6)


def test_backward_is_the_derivative_where_targets_add_up_to_one():
    check_gradient(case(SCORES_ALONE), SHAPES, values={'t': TARGETS}, skip={'t'}, phase=caffe.TRAIN)


def test_the_true_gradient_is_that_of_any_targets():
    check_gradient(case('true_gradient: true ' + SCORES_ALONE), SHAPES,
                   values={'t': 3 * TARGETS}, skip={'t'}, phase=caffe.TRAIN)  # fmt: skip


def test_each_score_needs_a_target():
    with pytest.raises(CaffeError, match=r'\(2, 4, 3, 2\) and \(2, 3, 3, 2\), expected a target for each score'):
        make_net(case(), SHAPES | {'t': (2, 3, 3, 2)})
