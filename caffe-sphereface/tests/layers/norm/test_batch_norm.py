"""BatchNorm: statistics of the batch in training, running ones in testing."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import caffe
from gradcheck import check_gradient
from layer_case import layer, make_net, run


def batch_norm(extra=''):
    return layer('BatchNorm', extra=f'batch_norm_param {{ eps: 0.001 moving_average_fraction: 0.9 {extra} }}')


def test_batch_norm_in_training_and_its_running_sums():
    net = make_net(batch_norm(), {'x': (4, 3, 5, 2)}, caffe.TRAIN)
    x = torch.tensor(net.blobs['x'].data, requires_grad=True)
    dy = run(net)['y']
    y = F.batch_norm(x, None, None, training=True, eps=0.001)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(net.blobs['y'].data, y.detach(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net.blobs['x'].diff, x.grad, rtol=1e-4, atol=1e-5)
    net.forward()
    mean, variance, weight = (b.data for b in net.params['layer'])
    by_channel = x.detach().transpose(0, 1).flatten(1)
    assert weight == pytest.approx(1.9)
    np.testing.assert_allclose(mean, 1.9 * by_channel.mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, 1.9 * by_channel.var(1), rtol=1e-5)


@pytest.mark.parametrize('viewed', ['before', 'between'])
def test_batch_norm_goes_back_from_what_it_computed(viewed):
    """Genuine Caffe keeps the normalised values in a blob of its own."""
    diffs = []
    for write in (False, True):
        net = make_net(batch_norm(), {'x': (4, 3, 5, 2)}, caffe.TRAIN)
        view = net.blobs['y'].data if viewed == 'before' else None
        net.forward()
        view = net.blobs['y'].data if viewed == 'between' else view
        np.testing.assert_array_equal(view, net.blobs['y'].data)
        if write:
            view[...] = 7
            assert (net.blobs['y'].data == 7).all()
        net.blobs['y'].diff[...] = np.random.default_rng(3).normal(size=view.shape)
        net.backward()
        diffs.append(net.blobs['x'].diff.copy())
    np.testing.assert_array_equal(*diffs)


def test_batch_norm_in_testing_uses_the_running_statistics():
    for phase, extra in ((caffe.TEST, ''), (caffe.TRAIN, 'use_global_stats: true')):
        net = make_net(batch_norm(extra), {'x': (4, 2, 3)}, phase)
        for blob, values in zip(net.params['layer'], ([2, -4], [8, 18], [2])):
            blob.data[...] = values
        dy = run(net)['y']
        mean, variance = np.array([[1], [-2]]), np.array([[4], [9]]) + 0.001
        np.testing.assert_allclose(net.blobs['y'].data, (net.blobs['x'].data - mean) / np.sqrt(variance), rtol=1e-5)
        np.testing.assert_allclose(net.blobs['x'].diff, dy / np.sqrt(variance), rtol=1e-5)


def test_batch_norm_without_statistics_takes_them_as_zero():
    net = make_net(batch_norm(), {'x': (2, 3)}, caffe.TEST)
    net.forward()
    np.testing.assert_allclose(net.blobs['y'].data, net.blobs['x'].data / np.sqrt(0.001), rtol=1e-5)


def test_batch_norm_of_a_single_value_stays_finite():
    net = make_net(batch_norm(), {'x': (1, 3)}, caffe.TRAIN)
    net.forward()
    np.testing.assert_allclose(net.blobs['y'].data, 0, atol=1e-5)
    assert [np.isfinite(b.data).all() for b in net.params['layer']] == [True] * 3
    assert not net.params['layer'][1].data.any()


def test_batch_norm_statistics_have_no_learning_rate():
    net = make_net(batch_norm(), {'x': (2, 3)}, caffe.TRAIN)
    assert [spec.lr_mult for spec in net.layer_dict['layer'].param.param] == [0, 0, 0]


def test_pspnets_first_form_of_bn_is_its_later_one():
    first = 'bn_param { moving_average: true decay: 0.25 scale_filler { value: 2 } shift_filler { value: 1 } }'
    later = 'bn_param { momentum: 0.75 slope_filler { value: 2 } bias_filler { value: 1 } }'
    for phase in (caffe.TRAIN, caffe.TEST):
        nets = [make_net(layer('BN', extra=extra), {'x': (4, 3, 2, 2)}, phase) for extra in (first, later)]
        for net in nets:
            net.forward()
        for one, other in zip(nets[0].params['layer'], nets[1].params['layer'], strict=True):
            np.testing.assert_array_equal(one.data, other.data)
        np.testing.assert_array_equal(nets[0].blobs['y'].data, nets[1].blobs['y'].data)


def test_parts_of_a_batch_have_statistics_of_their_own_which_enter_the_sums_in_turn():
    net = make_net(batch_norm('stats_batch_size: 2'), {'x': (6, 3, 5, 2)}, caffe.TRAIN)
    x = torch.tensor(net.blobs['x'].data, requires_grad=True)
    dy = run(net)['y']
    y = torch.cat([F.batch_norm(part, None, None, training=True, eps=0.001) for part in x.split(2)])
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(net.blobs['y'].data, y.detach(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net.blobs['x'].diff, x.grad, rtol=1e-4, atol=1e-5)
    mean, variance, weight = np.zeros(3), np.zeros(3), 0.0
    for part in x.detach().split(2):
        by_channel = part.transpose(0, 1).flatten(1)
        mean, variance = 0.9 * mean + by_channel.mean(1).numpy(), 0.9 * variance + by_channel.var(1).numpy()
        weight = 0.9 * weight + 1
    for blob, expected in zip(net.params['layer'], (mean, variance, weight)):
        np.testing.assert_allclose(blob.data, expected, rtol=1e-4, atol=1e-5)


def test_gradients_of_parts_are_those_of_the_function():
    check_gradient(batch_norm('stats_batch_size: 2'), {'x': (4, 2, 3)}, phase=caffe.TRAIN)


def test_parts_have_to_divide_the_batch_but_in_testing():
    text = batch_norm('stats_batch_size: 4')
    with pytest.raises(
        caffe.CaffeError, match=r"'layer' \(BatchNorm\): stats_batch_size 4, batch of 6, expected a mul"
    ):
        make_net(text, {'x': (6, 3)}, caffe.TRAIN)
    make_net(text, {'x': (6, 3)}, caffe.TEST)


def test_a_net_says_it_for_all_its_layers():
    text = 'bn_stats_batch_size: 2\n' + batch_norm() + layer('ReLU', 'y', 'z').replace('"layer"', '"relu"')
    net = make_net(text, {'x': (4, 3)}, caffe.TRAIN)
    net.forward()
    np.testing.assert_allclose(net.blobs['y'].data.reshape(2, 2, 3).mean(1), 0, atol=1e-5)
    assert net.layers[1].param.batch_norm_param.stats_batch_size == 2
