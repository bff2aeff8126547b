"""R-FCN's losses of each region and the choice of those that lose most."""

import numpy as np
import pytest

import caffe
from gradcheck import check_gradient
from layer_case import layer, make_net

rng = np.random.default_rng(0)
BOX = {'x': (6, 3, 2, 1), 'z': (6, 3, 2, 1), 'w': (6, 3, 2, 1)}


def test_losses_of_regions_add_up_to_the_loss():
    text = layer('SmoothL1LossOHEM', 'x z w', 'loss each', 'loss_weight: 1 loss_weight: 0')
    text += layer(
        'SoftmaxWithLossOHEM',
        's label',
        'softmax p own',
        'loss_weight: [1, 0, 0] loss_param { normalization: BATCH_SIZE }',
    ).replace('"layer"', '"second"')
    net = make_net(text, {**BOX, 's': (6, 4), 'label': (6,)}, force_backward=False)
    net.blobs['label'].data[...] = [0, 3, 1, 1, 2, 0]
    net.forward()
    distance = np.abs((net.blobs['x'].data - net.blobs['z'].data) * net.blobs['w'].data)
    values = np.where(distance < 1, distance**2 / 2, distance - 0.5).sum(1, keepdims=True)
    np.testing.assert_allclose(net.blobs['each'].data, values, rtol=1e-5)
    np.testing.assert_allclose(net.blobs['loss'].data, values.sum() / 12, rtol=1e-5)
    scores = np.exp(net.blobs['s'].data)
    likely = scores / scores.sum(1, keepdims=True)
    own = -np.log(likely[np.arange(6), net.blobs['label'].data.astype(int)])
    np.testing.assert_allclose(net.blobs['p'].data, likely, rtol=1e-5)
    np.testing.assert_allclose(net.blobs['own'].data, own, rtol=1e-5)
    np.testing.assert_allclose(net.blobs['softmax'].data, own.mean(), rtol=1e-5)


@pytest.mark.parametrize('extra', ['', 'loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 5 }'])
def test_backward_is_the_derivative(extra):
    spread = (np.arange(36).reshape(BOX['x']) * 37 % 36 - 17) / 7 + 0.01
    text = layer('SmoothL1LossOHEM', 'x z w', 'loss', f'propagate_down: [true, true, false] {extra}')
    check_gradient(text, BOX, values={'x': spread, 'z': 0 * spread}, skip={'w'})


def test_the_fixed_divisor_counts_whatever_is_ignored():
    extra = 'loss_param { ignore_label: 1 normalization: PRE_FIXED pre_fixed_normalizer: 8 }'
    net = make_net(layer('SoftmaxWithLoss', 'x label', 'loss', extra), {'x': (5, 3), 'label': (5,)}, caffe.TRAIN)
    net.blobs['label'].data[...] = [0, 1, 2, 1, 0]
    net.forward()
    x = net.blobs['x'].data.astype('d')
    losses = np.log(np.exp(x).sum(1)) - x[np.arange(5), [0, 1, 2, 1, 0]]
    np.testing.assert_allclose(net.blobs['loss'].data, losses[[0, 2, 4]].sum() / 8, rtol=1e-5)


def test_the_regions_of_each_image_that_lose_most_keep_label_and_weights():
    text = layer('BoxAnnotatorOHEM', 'r l y w', 'label weight', 'box_annotator_ohem_param { roi_per_img: 2 }')
    net = make_net(text, {'r': (5, 5), 'l': (5, 1, 1, 1), 'y': (5,), 'w': (5, 8)}, force_backward=False)
    net.blobs['r'].data[:, 0] = [0, 1, 0, 0, 1]
    net.blobs['l'].data[:, 0, 0, 0] = [0.5, 0.1, 0.7, 0.5, 0.2]
    net.blobs['y'].data[...] = [4, 5, 6, 7, 8]
    net.forward()
    np.testing.assert_array_equal(net.blobs['label'].data[:, 0, 0, 0], [4, 5, 6, -1, 8])
    kept = net.blobs['w'].data * np.array([1, 1, 1, 0, 1])[:, None]
    np.testing.assert_array_equal(net.blobs['weight'].data[:, :, 0, 0], kept)
