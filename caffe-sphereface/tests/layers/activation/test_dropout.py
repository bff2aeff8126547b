"""Dropout: what it keeps, and by which seed."""

import numpy as np
import pytest

import caffe
from layer_case import layer, make_net, run


def test_dropout_scales_what_it_keeps_in_training_only():
    for phase in (caffe.TRAIN, caffe.TEST):
        net = make_net(layer('Dropout', extra='dropout_param { dropout_ratio: 0.25 }'), {'x': (100, 100)}, phase)
        dy = run(net)['y']
        factor = net.blobs['y'].data / net.blobs['x'].data
        np.testing.assert_allclose(net.blobs['x'].diff, dy * factor, rtol=1e-5)
        if phase == caffe.TEST:
            assert (factor == 1).all()
        else:
            assert set(np.unique(factor.round(4))) == {0, np.float32(1 / 0.75).round(4)}
            assert (factor > 0).mean() == pytest.approx(0.75, abs=0.02)


def test_dropout_may_scale_in_tests_instead_of_training():
    extra = 'dropout_param { dropout_ratio: 0.25 scale_train: false }'
    for phase, factors in ((caffe.TRAIN, {0, 1}), (caffe.TEST, {0.75})):
        net = make_net(layer('Dropout', extra=extra), {'x': (100, 100)}, phase)
        dy = run(net)['y']
        factor = net.blobs['y'].data / net.blobs['x'].data
        np.testing.assert_allclose(net.blobs['x'].diff, dy * factor, rtol=1e-5)
        assert set(np.unique(factor.astype(float).round(4))) == factors


def test_dropout_of_nothing_passes_everything_on():
    net = make_net(layer('Dropout', extra='dropout_param { dropout_ratio: 0 }'), {'x': (3, 4)}, caffe.TRAIN)
    dy = run(net)['y']
    assert (net.blobs['y'].data == net.blobs['x'].data).all()
    assert (net.blobs['x'].diff == dy).all()


def test_dropout_follows_the_seed():
    runs = []
    for seed in (1, 1, 2):
        net = make_net(layer('Dropout'), {'x': (10, 10)}, caffe.TRAIN)
        caffe.set_random_seed(seed)
        net.forward()
        runs.append(net.blobs['y'].data != 0)
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()
