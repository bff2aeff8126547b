"""Layers that join, cut and rearrange, and those that compute from several bottoms."""

from caffe.export.ncnn.graph import NcnnGraph, Shapes, behind_batch, converts, shape_parameters
from caffe.export.ncnn.statistics import ADD, MULTIPLY
from caffe.layers.product.eltwise import Eltwise
from caffe.layers.shape.joining import Concat, Slice
from caffe.layers.shape.permute import Permute
from caffe.layers.shape.tile import Tile
from caffe.layers.support.registry import Layer
from caffe.layers.vision.crop import Crop
from caffe.layers.vision.interp import Interp
from caffe.layers.vision.upsample import MaskedUpsample, Upsample

_ORDERS = (
    'WHC',
    'HWC',
    'WCH',
    'CWH',
    'HCW',
    'CHW',
)  # of Permute: the bottom's axes as the top's width, height, channel
_NEAREST, _LINEAR = 1, 2


@converts('Split')
def split(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """The bottom for every top; ncnn's own Splits are made when the net is whole."""
    return x * len(tops)


@converts('Concat')
def concat(graph: NcnnGraph, layer: Concat, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Concat."""
    return graph.op('Concat', x, {0: behind_batch(layer, layer.along)})


@converts('Slice')
def part(graph: NcnnGraph, layer: Slice, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Slice into the layer's sizes."""
    sizes = [int(size) for size in layer.sizes]
    return graph.op('Slice', x, {0: sizes, 1: behind_batch(layer, layer.along)}, tops=len(tops))


@converts('Eltwise')
def eltwise(graph: NcnnGraph, layer: Eltwise, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Eltwise, whose operations have the same numbers in both programs."""
    param = layer.param.eltwise_param
    weighted = param.operation == param.SUM and any(c != 1 for c in layer.coefficients)
    coefficients = {1: [float(c) for c in layer.coefficients]} if weighted else {}
    return graph.op('Eltwise', x, {0: int(param.operation), **coefficients})


@converts('Axpy')
def axpy(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """BinaryOps: factors of channels times the second bottom, plus the third."""
    factors = graph.reshape(x[0], [shapes[1][1], *[1] * (len(shapes[1]) - 2)])
    product = graph.op('BinaryOp', [x[1], factors], {0: MULTIPLY}, part='product')
    return graph.op('BinaryOp', [*product, x[2]], {0: ADD})


@converts('Flatten', 'Reshape')
def reshape(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Flatten to one axis, Reshape to the top's shape otherwise."""
    if shapes[0][0] != tops[0][0]:
        layer.error(f'makes {tops[0]} of {shapes[0]}: ncnn expects a batch of the same size')
    if len(tops[0]) == 2:
        return graph.op('Flatten', x)
    return graph.op('Reshape', x, shape_parameters(tops[0][1:]))


@converts('Permute')
def permute(graph: NcnnGraph, layer: Permute, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Permute of channels, height and width."""
    order = list(layer.order)
    if sorted(order) != [0, 1, 2, 3] or order[0]:
        layer.error(f'has order {order}, expected 4 axes of which that of the batch stays')
    return graph.op('Permute', x, {0: _ORDERS.index(''.join(' CHW'[axis] for axis in reversed(order[1:])))})


@converts('Crop')
def crop(graph: NcnnGraph, layer: Crop, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Crop of the first bottom to constant places."""
    axes = [behind_batch(layer, axis) for axis in range(layer.from_axis, len(shapes[0]))]
    starts = [int(layer.offset[axis + 1]) for axis in axes]
    ends = [int(layer.offset[axis + 1] + layer.sizes[axis + 1]) for axis in axes]
    return graph.op('Crop', x[0], {9: starts, 10: ends, 11: axes})


@converts('Tile')
def tile(graph: NcnnGraph, layer: Tile, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Tile."""
    return graph.op('Tile', x, {0: behind_batch(layer, layer.along), 1: int(layer.tiles)})


@converts('ShuffleChannel')
def shuffle(graph: NcnnGraph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """ShuffleChannel."""
    return graph.op('ShuffleChannel', x, {0: int(layer.param.shuffle_channel_param.group)})


@converts('Upsample')
def nearest(graph: NcnnGraph, layer: Upsample, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Interp that repeats each value."""
    if isinstance(layer, MaskedUpsample):
        layer.error('puts values back by a mask, which ncnn has no layer for')
    scale = float(layer.scale)
    return graph.op('Interp', x, {0: _NEAREST, 1: scale, 2: scale})


@converts('Interp')
def interp(graph: NcnnGraph, layer: Interp, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Crop and a linear Interp with aligned corners."""
    kept = (layer.kept_rows, layer.kept_columns)
    value = x[0]
    if kept != tuple((0, size) for size in shapes[0][2:]):
        starts, ends = ([int(limit) for limit in limits] for limits in zip(*kept))
        value = graph.op('Crop', value, {9: starts, 10: ends, 11: [1, 2]}, part='kept')[0]
    height, width = layer.size
    return graph.op('Interp', value, {0: _LINEAR, 3: int(height), 4: int(width), 6: 1})
