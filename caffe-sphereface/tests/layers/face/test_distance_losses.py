"""GeneralContrastiveLoss and GeneralTripletLoss against plain loops."""

import math

import numpy as np
import pytest

import caffe
from gradcheck import check_gradient
from layer_case import layer, make_net

SHAPES = {'x': (5, 6), 'label': (5,)}
LABELS = [0, 3, 5, 2, 0]
STOP = 'propagate_down: true propagate_down: false loss_weight: 1 loss_weight: 1'


def distances():
    return np.random.default_rng(4).uniform(0, 2, SHAPES['x']).astype('f').astype('d')


def outcome(kind, name, fields):
    """(tops, diff of the distances) for diffs 0.5 and 3 of the tops."""
    text = layer(kind, 'x label', 'y z', f'{STOP} {name} {{ {fields} }}')
    net = make_net(text, SHAPES, force_backward=False)
    net.blobs['x'].data[...] = distances()
    net.blobs['label'].data[...] = LABELS
    net.forward()
    net.blobs['y'].diff[...], net.blobs['z'].diff[...] = 0.5, 3
    net.layers[-1].backward([net.blobs['y'], net.blobs['z']], [True, False], [net.blobs['x'], net.blobs['label']])
    return net.blobs['y'].data.item(), net.blobs['z'].data.tolist(), net.blobs['x'].diff


def contrastive(exp=False, hardest=False, one=False, first=None, norm=None, weights=(1, 1), margins=(0, 1), most=4):
    d, grad = distances(), np.zeros(SHAPES['x'])
    total, near, far = 0.0, 0.0, 0.0
    own = [min(max(d[i, y] - margins[0], 0), most) for i, y in enumerate(LABELS)]
    for i, y in enumerate(LABELS):
        beyond = first is not None and d[i, y] > first
        near += own[i]
        if not one or i == int(np.argmin(own)):
            total += own[i] * weights[0]
        if beyond or (margins[0] < d[i, y] < most and (not one or i == int(np.argmin(own)))):
            grad[i, y] = weights[0]
        values = {}
        for j in range(6):
            if j != y and d[i, j] < margins[1]:
                far += margins[1] - d[i, j]
                values[j] = (math.exp(-d[i, j]) if exp else margins[1] - d[i, j]) * weights[1]
        if hardest:
            best = max(values, key=values.get, default=None)
            if y == 0 and best is not None and values[best] <= own[i] * weights[0]:
                best = None
            values = {best: values[best]} if best is not None else {}
        if not beyond:
            total += sum(values.values())
            for j in values:
                grad[i, j] = -(math.exp(-d[i, j]) if exp else 1) * weights[1]
    if norm:
        others = np.ones_like(grad, bool)
        others[range(5), LABELS] = False
        size = abs(grad[others].sum()) / norm / 5
        grad[others] /= size if size > weights[0] else 1
    return total / 5, [near / 5, far / 25], grad * 0.5 / 5


@pytest.mark.parametrize(
    'fields, arguments',
    [
        ('', {}),
        ('exp_negative_weight: true negative_weight: 2', {'exp': True, 'weights': (1, 2)}),
        ('max_negative_only: true positive_margin: 0.3', {'hardest': True, 'margins': (0.3, 1)}),
        ('max_positive_only: true positive_weight: 3', {'one': True, 'weights': (3, 1)}),
        ('positive_first: true positive_upper_bound: 0.9 positive_outlier_thresh: 1.2', {'first': 0.9, 'most': 1.2}),
        ('normalize_negative: 0.5 negative_margin: 1.5', {'norm': 0.5, 'margins': (0, 1.5)}),
    ],
)
def test_contrastive_losses_and_gradients_are_those_of_plain_loops(fields, arguments):
    found = outcome('GeneralContrastiveLoss', 'general_contrastive_loss_param', fields)
    for value, wanted in zip(found, contrastive(**arguments)):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-6)


def triplet(margin=0.2, hardest=False, first=None, centre=True, weights=(1, 1)):
    d, grad, total = distances(), np.zeros(SHAPES['x']), 0.0
    for i, y in enumerate(LABELS):
        values = {j: d[i, y] + margin - d[i, j] for j in range(6) if j != y and d[i, y] + margin > d[i, j]}
        if hardest and values:
            best = max(values, key=values.get)
            values = {best: values[best]}
        beyond = first is not None and d[i, y] > first
        if beyond:
            values = {}
        total += sum(values.values()) * weights[1]
        for j in values:
            grad[i, j] = -weights[1]
        if centre or values or beyond:
            grad[i, y] = weights[0]
    own = d[range(5), LABELS].sum()
    return total / 5, [own / 5, (d.sum() - own) / 25], grad * 0.5 / 5


@pytest.mark.parametrize(
    'fields, arguments',
    [
        ('', {}),
        ('margin: 0.8 hardest_only: true', {'margin': 0.8, 'hardest': True}),
        ('add_center_loss: false negative_weight: 2 positive_weight: 3', {'centre': False, 'weights': (3, 2)}),
        ('positive_first: true positive_upper_bound: 0.9 add_center_loss: false', {'first': 0.9, 'centre': False}),
    ],
)
def test_triplet_losses_and_gradients_are_those_of_plain_loops(fields, arguments):
    found = outcome('GeneralTripletLoss', 'general_triplet_loss_param', fields)
    for value, wanted in zip(found, triplet(**arguments)):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-6)


def test_what_is_not_there_is_refused():
    text = layer('GeneralContrastiveLoss', 'x label', 'y', 'general_contrastive_loss_param { add_intra_mae: true }')
    with pytest.raises(caffe.CaffeError, match='add_intra_mae: true is not implemented'):
        make_net(text, SHAPES)
    with pytest.raises(caffe.CaffeError, match='expected one an item'):
        make_net(layer('GeneralTripletLoss', 'x label'), SHAPES | {'label': (4,)})


@pytest.mark.parametrize(
    'fields',
    [
        'positive_weight: 0.7 negative_weight: 1.5 rescale_test: true',
        'positive_weight: 0.7 for_ip: true rescale_test: true',
        'positive_weight: 1.5 power_on_positive: true rescale_test: true',
        'positive_weight: 0.7 bias_fix: true rescale_test: true',
        'positive_weight: 0.7',
    ],
)
def test_backward_of_rescaled_scores_is_the_derivative(fields):
    text = layer('LabelSpecificRescale', 'x label', 'y', f'label_specific_rescale_param {{ {fields} }}')
    check_gradient(text, SHAPES, values={'label': LABELS}, skip=('label',), kinks=(0,))


def test_scores_are_rescaled_as_they_are_told_to():
    def rescaled(fields, phase=caffe.TRAIN, tops='y'):
        text = layer('LabelSpecificRescale', 'x label', tops, f'label_specific_rescale_param {{ {fields} }}')
        net = make_net(text, {'x': (2, 2), 'label': (2,)}, phase, force_backward=False)
        net.blobs['x'].data[...] = [[4, 6], [-4, 6]]
        net.blobs['label'].data[...] = [0, 0]
        net.forward()
        return net.forward()

    assert rescaled('positive_weight: 0.5 negative_weight: 2')['y'].tolist() == [[2, 12], [-2, 12]]
    assert rescaled('positive_weight: 0.5 negative_weight: 2', caffe.TEST)['y'].tolist() == [[4, 6], [-4, 6]]
    assert rescaled('positive_weight: 0.5 for_ip: true')['y'].tolist() == [[2, 6], [-4, 6]]
    assert rescaled('positive_weight: 0.5 bias_fix: true')['y'].tolist() == [[2.5, 6], [-1.5, 6]]
    assert rescaled('positive_weight: 0.5 power_on_positive: true')['y'].tolist() == [[2, 6], [-2, 6]]
    found = rescaled('positive_weight_base: 8 gamma: 1 power: 2 positive_weight_max: 2', tops='y weight')
    assert np.allclose(found['weight'], 8 / 9) and np.allclose(found['y'], [[32 / 9, 6], [-32 / 9, 6]])
