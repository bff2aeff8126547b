"""Numeric gradient check of the layers that see, join and reshape."""

import numpy as np
import pytest

import caffe
from gradcheck import check_gradient
from gradient_cases import GAUSSIAN, IMAGE, KINKED, SMOOTH
from layer_case import layer


@pytest.mark.parametrize('case', SMOOTH)
def test_backward_is_the_derivative(case):
    check_gradient(*SMOOTH[case], skip={'r'})


@pytest.mark.parametrize('case', KINKED)
def test_backward_is_the_derivative_beside_kinks(case):
    layers, shapes = KINKED[case]
    # well separated values: no window has two that a small step could swap
    values = {
        name: np.random.default_rng(i).permutation(np.prod(shape)).reshape(shape) / 7 + 0.05 + i / 100
        for i, (name, shape) in enumerate(shapes.items())
    }
    check_gradient(layers, shapes, values=values)


@pytest.mark.parametrize(
    'kind, extra',
    [
        ('ReLU', ''),
        ('ReLU', 'relu_param { negative_slope: 0.3 }'),
        ('PReLU', ''),
        ('PReLU', 'prelu_param { channel_shared: true filler { value: -0.5 } }'),
    ],
)
def test_backward_of_rectifiers(kind, extra):
    check_gradient(layer(kind, extra=extra), IMAGE, kinks=(0,))


@pytest.mark.parametrize('shape', [(4, 3, 3, 2), (6, 3)])
def test_batch_norm_in_training(shape):
    check_gradient(
        layer('BatchNorm', extra='batch_norm_param { eps: 0.01 }'), {'x': shape}, skip={'layer'}, phase=caffe.TRAIN
    )


@pytest.mark.parametrize('extra', ['', 'use_global_stats: true'])
def test_batch_norm_in_place_under_others(extra):
    layers = (
        layer('Power', 'x', 'y', 'power_param { scale: 2 }').replace('"layer"', '"before"')
        + layer('BatchNorm', 'y', 'y', f'batch_norm_param {{ eps: 0.1 {extra} }}')
        + layer('Scale', 'y', 'y', 'scale_param { filler { value: 3 } }').replace('"layer"', '"scale"')
        + layer('TanH', 'y', 'y').replace('"layer"', '"after"')
    )
    check_gradient(layers, {'x': (4, 3, 3, 2)}, skip={'layer'}, phase=caffe.TRAIN)


@pytest.mark.parametrize('phase', [caffe.TRAIN, caffe.TEST])
def test_dropout(phase):
    check_gradient(layer('Dropout'), IMAGE, phase=phase)


def test_stochastic_pooling():
    values = np.random.default_rng(0).uniform(0.5, 1, IMAGE['x'])
    check_gradient(
        layer('Pooling', extra='pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }'),
        IMAGE,
        values={'x': values},
        phase=caffe.TRAIN,
    )


def test_layers_with_indices():
    need, leave, weight = 'propagate_down: true ', 'propagate_down: false ', 'loss_weight: 1 '

    def check(text, shapes, indices):
        check_gradient(text, shapes, values=indices, skip=set(indices), force_backward=False)

    embed = layer('Embed', 'i', extra=f'embed_param {{ input_dim: 5 num_output: 3 {GAUSSIAN} }} {weight}')
    check(embed, {'i': (4,)}, {'i': [1, 4, 1, 0]})
    check(layer('BatchReindex', 'x i', extra=need + leave + weight), {'x': (3, 2, 2), 'i': (4,)}, {'i': [2, 0, 2, 1]})
    chosen = layer('Filter', 'x z s', 'y v', 2 * need + leave + 2 * weight)
    check(chosen, {'x': (4, 2, 2), 'z': (4, 3), 's': (4,)}, {'s': [1, 0, 0, 1]})


def test_a_wrong_backward_is_noticed(monkeypatch):
    from caffe.layers.norm.mvn import MVN

    genuine = MVN.backward

    def wrong(self, top, propagate_down, bottom):
        genuine(self, top, propagate_down, bottom)
        bottom[0].grad = bottom[0].grad * 1.001

    monkeypatch.setattr(MVN, 'backward', wrong)
    with pytest.raises(AssertionError, match='numeric'):
        check_gradient(layer('MVN'), IMAGE)
