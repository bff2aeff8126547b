"""Activations of forks in layers of BVLC's Caffe 1.0."""

from caffe.export.bvlc.replacement import PRODUCT, Replacement, rule
from caffe.layers.activation.dropout import Dropout
from caffe.layers.activation.insanity import Insanity
from caffe.layers.activation.relu6 import ReLU6
from caffe.layers.support.registry import Layer


@rule(Insanity)
def _insanity(made: Replacement, layer: Insanity) -> None:
    made.add('ReLU', made.bottoms, relu_param={'negative_slope': layer.slope})


@rule(ReLU6)
def _relu6(made: Replacement, layer: ReLU6) -> None:
    """min(y, 6) = y − max(y − 6, 0), which rounds nowhere."""
    slope = layer.param.relu6_param.negative_slope
    y = made.add('ReLU', made.bottoms, 'relu', relu_param={'negative_slope': slope} if slope else {})
    over = made.add('Power', [y], 'over', power_param={'shift': -6})
    over = made.add('ReLU', [over], 'excess')
    made.add('Eltwise', [y, over], eltwise_param={'operation': 'SUM', 'coeff': [1, -1]})


@rule('Clip')
def _clip(made: Replacement, layer: Layer) -> None:
    param = layer.param.clip_param
    if param.min != 0:
        layer.error(f'has min {param.min:g}, expected 0, where the same follows from BVLC Caffe 1.0 without rounding')
    y = made.add('ReLU', made.bottoms, 'relu')
    over = made.add('Power', [y], 'over', power_param={'shift': -param.max})
    over = made.add('ReLU', [over], 'excess')
    made.add('Eltwise', [y, over], eltwise_param={'operation': 'SUM', 'coeff': [1, -1]})


@rule('SeLu')
def _selu(made: Replacement, layer: Layer) -> None:
    param = layer.param.selu_param
    y = made.add('ELU', made.bottoms, 'elu', elu_param={'alpha': param.alpha})
    made.add('Power', [y], power_param={'scale': getattr(param, 'lambda')})


@rule('SeLuDropout')
def _selu_dropout(made: Replacement, layer: Layer) -> None:
    made.add('Dropout', made.bottoms)  # which passes on in TEST, too


@rule('Swish')
def _swish(made: Replacement, layer: Layer) -> None:
    x = made.bottoms[0]
    gate = made.add('Power', [x], 'beta', power_param={'scale': layer.param.swish_param.beta})
    gate = made.add('Sigmoid', [gate], 'gate')
    made.add('Eltwise', [x, gate], eltwise_param=PRODUCT)


@rule(Dropout)
def _dropout(made: Replacement, layer: Dropout) -> None:
    if not layer.is_test:
        layer.error('draws in the TEST phase, expected it without sample_weights_test')
    if layer.test_scale == 1:
        made.keep()
    else:
        made.add('Power', made.bottoms, power_param={'scale': layer.test_scale})
