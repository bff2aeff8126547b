"""Normalising layers, Softmax, Reduction and ArgMax."""

from collections.abc import Sequence

import numpy as np

from caffe.blobs.blob import Blob
from caffe.export.graph import Graph, Shapes, converts, parameter
from caffe.layers.activation.softmax import Softmax
from caffe.layers.norm.batch_norm import BatchNorm
from caffe.layers.norm.mvn import MVN
from caffe.layers.norm.normalize import Normalize
from caffe.layers.norm.scale import Bias, Broadcast, Scale
from caffe.layers.shape.reduction import ArgMax, Reduction


@converts('BatchNorm')
def batch_norm(graph: Graph, layer: BatchNorm, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """BatchNormalization with the running statistics."""
    if not layer.running:
        layer.error('uses the statistics of its batch, expected use_global_stats or the TEST phase')
    mean, variance = (values.cpu().numpy() for values in layer.running_statistics())
    ones, zeros = np.ones_like(mean), np.zeros_like(mean)
    values = [
        graph.constant(v, hint) for v, hint in zip((ones, zeros, mean, variance), ('scale', 'bias', 'mean', 'variance'))
    ]
    return [graph.op('BatchNormalization', x[0], *values, epsilon=layer.eps)]


@converts('Scale', 'Bias')
def scale(graph: Graph, layer: Scale | Bias, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Mul and Add with learned values or those of the second bottom."""
    broadcast, param = layer.broadcast, layer.param.scale_param
    behind = [1] * (len(shapes[0]) - (broadcast.axis if broadcast.shape else 0) - len(broadcast.shape))

    def spread(blob: Blob, hint: str) -> str:
        return graph.constant(parameter(blob).reshape(*broadcast.shape, *behind), hint)

    def factor() -> str:
        if not broadcast.given:
            return spread(layer.blobs[0], 'values')
        return graph.op('Reshape', x[1], graph.integers([*_open_batch(broadcast), *behind], 'shape'))

    y = graph.op('Mul' if layer.type == 'Scale' else 'Add', x[0], factor())
    if layer.type == 'Scale' and param.bias_term:
        y = graph.op('Add', y, spread(layer.blobs[-1], 'bias'))
    return [y]


def _open_batch(broadcast: Broadcast) -> Sequence[int]:
    """The shape of the second bottom, with the first axis open where it is that of the batch."""
    return [-1, *broadcast.shape[1:]] if broadcast.axis == 0 and broadcast.shape else broadcast.shape


@converts('Softmax')
def softmax(graph: Graph, layer: Softmax, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Softmax along one axis."""
    return [graph.op('Softmax', x[0], axis=layer.along)]


@converts('MVN')
def mvn(graph: Graph, layer: MVN, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """x − mean, divided by deviation + eps."""
    axes = list(range(layer.row_axes, 4))
    value = x[0] if shapes[0] == tops[0] else graph.reshape(x[0], tops[0])
    y = graph.op('Sub', value, graph.op('ReduceMean', value, axes=axes))
    if layer.param.mvn_param.normalize_variance:
        deviation = graph.op('Sqrt', graph.op('ReduceMean', graph.op('Mul', y, y), axes=axes))
        y = graph.op('Div', y, graph.scaled(deviation, offset=layer.param.mvn_param.eps))
    return [y]


@converts('Normalize')
def normalize(graph: Graph, layer: Normalize, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """x / ‖x‖ over channels, and the norms where they are asked for."""
    one = graph.integers([1], 'axes')
    if tops[0] != shapes[0]:
        x = [graph.reshape(x[0], tops[0])]
    if layer.kind == 'L2':
        norm = graph.op('Sqrt', graph.scaled(graph.op('ReduceSum', graph.op('Mul', x[0], x[0]), one), offset=1e-6))
    else:
        norm = graph.scaled(graph.op('ReduceSum', graph.op('Abs', x[0]), one), offset=1e-6)
    return [graph.op('Div', x[0], norm), norm][: len(layer.param.top)]


@converts('Reduction')
def reduction(graph: Graph, layer: Reduction, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """SUM, ASUM, SUMSQ or MEAN over the last axes."""
    param, value = layer.param.reduction_param, x[0]
    if param.operation == param.ASUM:
        value = graph.op('Abs', value)
    elif param.operation == param.SUMSQ:
        value = graph.op('Mul', value, value)
    axes = list(range(len(tops[0]), len(shapes[0])))
    if param.operation == param.MEAN:
        y = graph.op('ReduceMean', value, axes=axes, keepdims=0)
    else:
        y = graph.op('ReduceSum', value, graph.integers(axes, 'axes'), keepdims=0)
    return [graph.scaled(y, param.coeff)]


@converts('ArgMax')
def argmax(graph: Graph, layer: ArgMax, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """TopK of the reversed axis, because of equal values Caffe takes the last."""
    param, along, value = layer.param.argmax_param, layer.along, x[0]
    shape = shapes[0]
    if along is None:
        value, shape = graph.op('Flatten', value, axis=1), (shape[0], int(np.prod(shape[1:])))
    axis, size = (1, shape[1]) if along is None else (along, shape[along])
    ends = [graph.integers([v], hint) for v, hint in ((-1, 'start'), (-size - 1, 'end'), (axis, 'axis'), (-1, 'step'))]
    values, index = graph.ops('TopK', 2, graph.op('Slice', value, *ends), graph.integers([param.top_k], 'k'), axis=axis)
    index = graph.op('Cast', graph.op('Sub', graph.integers([size - 1], 'last'), index), to=1)
    if along is not None:
        return [values if param.out_max_val else index]
    parts = [index, values] if param.out_max_val else [index]
    joined = graph.op('Concat', *parts, axis=1)
    return [graph.reshape(joined, (shape[0], len(parts), param.top_k, *[1] * (len(shapes[0]) - 3)))]
