"""Layers that compute each value from its own input, and Softmax."""

from caffe.export.graph import parameter
from caffe.export.ncnn.graph import NcnnGraph, Shapes, Weight, behind_batch, converts
from caffe.layers.activation.dropout import Dropout
from caffe.layers.activation.insanity import Insanity
from caffe.layers.activation.softmax import Softmax
from caffe.layers.support.registry import Layer


@converts('AbsVal', 'BNLL', 'Sigmoid', 'TanH')
def plain(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """The layer of the same name."""
    return graph.op(layer.type, x)


@converts('ReLU')
def relu(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """ReLU, with its slope."""
    slope = layer.param.relu_param.negative_slope
    return graph.op('ReLU', x, {0: float(slope)} if slope else {})


@converts('Insanity')
def insanity(graph: NcnnGraph, layer: Insanity, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """ReLU with the slope of the TEST phase."""
    return graph.op('ReLU', x, {0: layer.slope})


@converts('PReLU')
def prelu(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """PReLU with a slope per channel, or one for all."""
    slope = parameter(layer.blobs[0])
    return graph.op('PReLU', x, {0: int(slope.size)}, [Weight(slope)])


@converts('ELU')
def elu(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """ELU."""
    return graph.op('ELU', x, {0: float(layer.param.elu_param.alpha)})


@converts('SeLu')
def selu(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """SELU."""
    param = layer.param.selu_param
    return graph.op('SELU', x, {0: float(param.alpha), 1: float(getattr(param, 'lambda'))})


@converts('ReLU6')
def relu6(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Clip to 0…6, or ReLU with the slope and Clip from above."""
    slope = layer.param.relu6_param.negative_slope
    if not slope:
        return graph.op('Clip', x, {0: 0.0, 1: 6.0})
    return graph.op('Clip', graph.op('ReLU', x, {0: float(slope)}, part='relu'), {1: 6.0})


@converts('Clip')
def clip(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Clip."""
    param = layer.param.clip_param
    return graph.op('Clip', x, {0: float(param.min), 1: float(param.max)})


@converts('Swish')
def swish(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Swish; with a beta x · σ(beta · x)."""
    beta = layer.param.swish_param.beta
    if beta == 1:
        return graph.op('Swish', x)
    gate = graph.op('Power', x, {1: float(beta)}, part='beta')
    return graph.op('Eltwise', [*x, *graph.op('Sigmoid', gate, part='gate')], {0: 0})


@converts('Threshold')
def threshold(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Threshold."""
    return graph.op('Threshold', x, {0: float(layer.param.threshold_param.threshold)})


@converts('Exp', 'Log')
def exponential(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Exp or Log; base -1 is e in both programs."""
    param = layer.param.exp_param if layer.type == 'Exp' else layer.param.log_param
    return graph.op(layer.type, x, {0: float(param.base), 1: float(param.scale), 2: float(param.shift)})


@converts('Power')
def power(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Power."""
    param = layer.param.power_param
    return graph.op('Power', x, {0: float(param.power), 1: float(param.scale), 2: float(param.shift)})


@converts('Dropout')
def dropout(graph: NcnnGraph, layer: Dropout, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Dropout, which at inference multiplies by its scale."""
    if not layer.is_test:
        layer.error('draws in the TEST phase, expected it without sample_weights_test')
    return graph.op('Dropout', x, {0: float(layer.test_scale)})


@converts('SeLuDropout')
def selu_dropout(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Dropout, which passes on."""
    return graph.op('Dropout', x, {0: 1.0})


@converts('Softmax')
def softmax(graph: NcnnGraph, layer: Softmax, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Softmax along one axis, whose number older ncnn counts otherwise without parameter 1."""
    return graph.op('Softmax', x, {0: behind_batch(layer, layer.along), 1: 1})


@converts('Silence')
def silence(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Nothing."""
    return []
