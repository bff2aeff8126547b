"""Normalising layers; factors and shifts of channels."""

from collections.abc import Sequence

import numpy as np

from caffe.export.graph import parameter
from caffe.export.ncnn.graph import NcnnGraph, Parameters, Shapes, Weight, converts, shape_parameters
from caffe.layers.norm.batch_norm import BatchNorm
from caffe.layers.norm.mvn import MVN
from caffe.layers.norm.normalize import Normalize
from caffe.layers.norm.scale import Bias, Scale
from caffe.layers.norm.ssd_normalize import SSDNormalize
from caffe.layers.support.registry import Layer

ADD, MULTIPLY = 0, 2  # of BinaryOp


@converts('BatchNorm')
def batch_norm(graph: NcnnGraph, layer: BatchNorm, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """BatchNorm with the running statistics."""
    if not layer.running:
        layer.error('uses the statistics of its batch, expected use_global_stats or the TEST phase')
    mean, variance = (values.cpu().numpy() for values in layer.running_statistics())
    values = (np.ones_like(mean), mean, variance, np.zeros_like(mean))
    return graph.op('BatchNorm', x, {0: int(mean.size), 1: float(layer.eps)}, [Weight(v) for v in values])


@converts('BN')
def batch_normalisation(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Scale with what the stored statistics and parameters come to."""
    if not layer.can_fold(shapes[0]):
        layer.error('uses the statistics of its batch, expected the TEST phase of PSPNet’s BN, or bn_mode: INFERENCE')
    factor, shift = (values.float().cpu().numpy().reshape(-1) for values in layer.linear())
    return graph.op('Scale', x, {0: int(factor.size), 1: 1}, [Weight(factor), Weight(shift)])


@converts('Scale', 'Bias')
def scale(graph: NcnnGraph, layer: Scale | Bias, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Scale or Bias for learned values of channels, BinaryOp for those of other shapes or of the second bottom."""
    broadcast = layer.broadcast
    learned = [parameter(blob) for blob in layer.blobs]
    if not broadcast.given and broadcast.axis == 1 and len(broadcast.shape) == 1:
        size, weights = int(learned[0].size), [Weight(values) for values in learned]
        return graph.op(layer.type, x, {0: size, 1: len(learned) - 1} if layer.type == 'Scale' else {0: size}, weights)
    at = max(1, broadcast.axis) if broadcast.shape else len(shapes[0])
    sizes = broadcast.shape[1:] if broadcast.axis == 0 else broadcast.shape
    # sizes of the axes behind the batch: ones but for those of the values
    around = [1] * (at - 1) + list(sizes) + [1] * (len(shapes[0]) - at - len(sizes))
    if broadcast.given and (broadcast.axis or not broadcast.shape):
        layer.error(f'has a second bottom of shape {shapes[1]} without a batch, which ncnn does not have')
    if not broadcast.given and broadcast.axis == 0 and broadcast.shape:
        layer.error('has values for each item of the batch, expected those from axis 1 on for ncnn')
    second = graph.reshape(x[1], around) if broadcast.given else _constant(graph, learned[0], around, 'values')
    operation = MULTIPLY if layer.type == 'Scale' else ADD
    if layer.type == 'Bias' or not layer.param.scale_param.bias_term:
        return graph.op('BinaryOp', [x[0], second], {0: operation})
    product = graph.op('BinaryOp', [x[0], second], {0: operation}, part='product')
    return graph.op('BinaryOp', [*product, _constant(graph, learned[-1], around, 'bias')], {0: ADD})


def _constant(graph: NcnnGraph, values: np.ndarray, shape: Sequence[int], part: str) -> str:
    return graph.op('MemoryData', [], shape_parameters(shape), [Weight(values)], part)[0]


@converts('MVN')
def mvn(graph: NcnnGraph, layer: MVN, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """MVN."""
    param = layer.param.mvn_param
    if len(shapes[0]) != 4:
        layer.error(f'has a bottom of shape {shapes[0]}, expected (N, C, H, W) for ncnn')
    return graph.op('MVN', x, {0: int(param.normalize_variance), 1: int(param.across_channels), 2: float(param.eps)})


@converts('Normalize')
def normalize(
    graph: NcnnGraph, layer: Normalize | SSDNormalize, x: list[str], shapes: Shapes, tops: Shapes
) -> list[str]:
    """Normalize over channels, or whole pictures, times learned factors or one."""
    if isinstance(layer, SSDNormalize):
        factors, eps, whole = parameter(layer.blobs[0]).reshape(-1), layer.param.norm_param.eps, len(layer.summed) > 1
        source = x[0]
    else:
        if layer.kind != 'L2' or len(tops) > 1:
            layer.error('has normalize_type L1 or a second top, expected L2 and one top for ncnn')
        factors, eps, whole = np.ones(1, np.float32), 1e-6, False
        source = x[0] if shapes[0] == tops[0] else graph.reshape(x[0], tops[0][1:])
    shared = int(factors.size == 1)
    params: Parameters = {0: int(whole), 1: shared, 2: float(eps), 3: int(factors.size), 4: 1}
    return graph.op('Normalize', source, params, [Weight(factors)])


@converts('NormL2')
def norm_l2(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Normalize of the whole item as channels of one place."""
    flat = graph.reshape(x[0], (-1, 1, 1), 'flat')
    params: Parameters = {1: 1, 2: 1e-7, 3: 1, 4: 1}
    unit = graph.op('Normalize', flat, params, [Weight(np.ones(1, np.float32))])
    return [graph.reshape(unit[0], tops[0][1:])]
