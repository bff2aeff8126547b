"""GlobalLSEMargin and what its margin follows."""

import numpy as np
import pytest

import caffe
from layer_case import layer, make_net

SHAPES = {'x': (4, 5), 'label': (4,)}
LABELS = [1, 0, 4, 2]
STOP = 'propagate_down: true propagate_down: false'


def cosines():
    values = np.random.default_rng(1).uniform(-0.3, 0.3, SHAPES['x'])
    values[range(4), LABELS] = [0.8, 0.75, 0.85, 0.2]
    return values


def gaps(x, scale):
    """How far each label's cosine lies above the others."""
    found = []
    for row, label in zip(x, LABELS):
        others = np.delete(row, label)
        found.append(row[label] - np.log(np.exp(scale * others).sum()) / scale)
    return np.array(found)


def test_the_margin_is_where_most_items_lie_and_follows_them():
    net = make_net(layer('GlobalLSEMargin', 'x label', 'y statistics', STOP), SHAPES, force_backward=False)
    net.blobs['x'].data[...], net.blobs['label'].data[...] = cosines(), LABELS
    found = gaps(cosines(), 30)
    place = found.mean()
    for _ in range(20):
        near = found[np.abs(found - place) < 0.1]
        place = (near if len(near) else found).mean()
    net.forward()
    np.testing.assert_allclose(net.params['layer'][1].data, place, rtol=1e-5)
    moved = cosines()
    moved[range(4), LABELS] -= place
    np.testing.assert_allclose(net.blobs['y'].data, 30 * moved, rtol=1e-4, atol=1e-4)
    others = [np.delete(row, label).max() for row, label in zip(cosines(), LABELS)]
    statistics = [30, cosines()[range(4), LABELS].mean(), (cosines()[range(4), LABELS] - found).mean(), np.mean(others)]
    np.testing.assert_allclose(net.blobs['statistics'].data, [*statistics, place], rtol=1e-4)
    net.blobs['x'].data[range(4), LABELS] -= 0.05
    net.forward()
    lower = found - 0.05
    wanted = 0.9 * place + 0.1 * lower[np.abs(lower - place) < 0.1].mean()
    np.testing.assert_allclose(net.params['layer'][1].data, wanted, rtol=1e-5)


def test_the_scale_is_limited_and_learns_and_the_margin_does_not():
    text = layer('GlobalLSEMargin', 'x label', 'y', f'{STOP} scale_param {{ filler {{ value: 9 }} max_value: 8 }}')
    net = make_net(text, SHAPES, caffe.TRAIN, force_backward=False)
    net.blobs['x'].data[...], net.blobs['label'].data[...] = cosines(), LABELS
    net.forward()
    assert net.params['layer'][0].data.tolist() == [8]
    assert [spec.lr_mult for spec in net.layers[-1].param.param] == [1, 0]


def test_backward_takes_the_margin_for_a_constant():
    net = make_net(layer('GlobalLSEMargin', 'x label', 'y', STOP), SHAPES, force_backward=False)
    net.blobs['x'].data[...], net.blobs['label'].data[...] = cosines(), LABELS
    net.forward()
    dy = np.random.default_rng(2).normal(size=SHAPES['x']).astype('f')
    net.blobs['y'].diff[...] = dy
    net.layers[-1].param_propagate_down = [True, False]
    net.layers[-1].backward([net.blobs['y']], [True, False], [net.blobs['x'], net.blobs['label']])
    np.testing.assert_allclose(net.blobs['x'].diff, 30 * dy, rtol=1e-5)
    np.testing.assert_allclose(net.params['layer'][0].diff, (dy * net.blobs['y'].data).sum() / 30, rtol=1e-4)


def test_lengths_stand_for_the_scale():
    text = layer('GlobalLSEMargin', 'x label length', 'y statistics', f'{STOP} propagate_down: true')
    net = make_net(text, SHAPES | {'length': (4, 1)}, force_backward=False)
    net.blobs['x'].data[...], net.blobs['label'].data[...] = cosines(), LABELS
    net.blobs['length'].data[...] = [[10], [20], [30], [40]]
    net.forward()
    margin = net.params['layer'][1].data.item()
    moved = cosines()
    moved[range(4), LABELS] -= margin
    np.testing.assert_allclose(net.blobs['y'].data, moved * [[10], [20], [30], [40]], rtol=1e-4, atol=1e-4)
    assert net.blobs['statistics'].data[0] == 25
    net.blobs['y'].diff[...] = 1
    blobs = [net.blobs[name] for name in ('x', 'label', 'length')]
    net.layers[-1].backward([net.blobs['y']], [True, False, True], blobs)
    np.testing.assert_allclose(net.blobs['length'].diff.ravel(), moved.sum(1), rtol=1e-4, atol=1e-5)


def test_lengths_of_another_number_are_refused():
    with pytest.raises(caffe.CaffeError, match='has lengths of shape .3,. for labels of shape .4,., expected one each'):
        make_net(layer('GlobalLSEMargin', 'x label length'), SHAPES | {'length': (3,)})
