"""Layers that compute each value from its own input."""

import math

from caffe.export.graph import Graph, Shapes, converts, parameter
from caffe.layers.activation.dropout import Dropout
from caffe.layers.activation.insanity import Insanity
from caffe.layers.support.registry import Layer


@converts('AbsVal', 'BNLL', 'Sigmoid', 'TanH')
def plain(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """One operator without parameters."""
    return [graph.op({'AbsVal': 'Abs', 'BNLL': 'Softplus', 'Sigmoid': 'Sigmoid', 'TanH': 'Tanh'}[layer.type], x[0])]


@converts('ReLU')
def relu(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Relu, or LeakyRelu with a slope."""
    slope = layer.param.relu_param.negative_slope
    return [graph.op('LeakyRelu', x[0], alpha=slope) if slope else graph.op('Relu', x[0])]


@converts('Insanity')
def insanity(graph: Graph, layer: Insanity, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """LeakyRelu with the slope of the TEST phase."""
    return [graph.op('LeakyRelu', x[0], alpha=layer.slope)]


@converts('PReLU')
def prelu(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """PRelu with a slope per channel, or one for all."""
    slope = parameter(layer.blobs[0]).reshape(-1)
    axes = 1 if layer.param.prelu_param.channel_shared else max(1, len(shapes[0]) - 1)
    return [graph.op('PRelu', x[0], graph.constant(slope.reshape(-1, *[1] * (axes - 1)), 'slope'))]


@converts('ELU')
def elu(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Elu."""
    return [graph.op('Elu', x[0], alpha=layer.param.elu_param.alpha)]


@converts('SeLu')
def selu(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Selu, whose gamma is lambda here."""
    param = layer.param.selu_param
    return [graph.op('Selu', x[0], alpha=param.alpha, gamma=getattr(param, 'lambda'))]


@converts('Swish')
def swish(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """x · σ(beta · x)."""
    return [graph.op('Mul', x[0], graph.op('Sigmoid', graph.scaled(x[0], layer.param.swish_param.beta)))]


@converts('Clip')
def clip(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Clip."""
    param = layer.param.clip_param
    return [graph.op('Clip', x[0], graph.constant(param.min, 'low'), graph.constant(param.max, 'high'))]


@converts('Threshold')
def threshold(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """1 above the threshold, else 0."""
    limit = graph.constant(layer.param.threshold_param.threshold, 'threshold')
    return [graph.op('Cast', graph.op('Greater', x[0], limit), to=1)]


@converts('Exp', 'Log')
def exponential(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """base^(shift + scale·x), and the logarithm log_base(shift + scale·x)."""
    param = layer.param.exp_param if layer.type == 'Exp' else layer.param.log_param
    log_base = 1.0 if param.base == -1 else math.log(param.base)
    inner = graph.scaled(x[0], param.scale, param.shift)
    if layer.type == 'Exp':
        return [graph.op('Exp', graph.scaled(inner, log_base))]
    return [graph.scaled(graph.op('Log', inner), 1 / log_base)]


@converts('Power')
def power(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """(shift + scale·x)^power."""
    param = layer.param.power_param
    inner = graph.scaled(x[0], param.scale, param.shift)
    if param.scale == 0:
        inner = graph.op('Add', graph.op('Mul', x[0], graph.constant(0, 'zero')), graph.constant(param.shift, 'shift'))
    return [inner if param.power == 1 else graph.op('Pow', inner, graph.constant(param.power, 'power'))]


@converts('Dropout')
def dropout(graph: Graph, layer: Dropout, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """The bottom, or its multiple where the scale of training is made up for."""
    if not layer.is_test:
        layer.error('draws in the TEST phase, expected it without sample_weights_test')
    return [graph.scaled(x[0], layer.test_scale)]


@converts('SeLuDropout')
def selu_dropout(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """The bottom."""
    return x


@converts('Split')
def identity(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """The bottom, once for every top."""
    return x * len(layer.param.top)


@converts('Silence')
def silence(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Nothing."""
    return []
