"""Layers that join, cut, pick and rearrange, and Eltwise."""

from functools import reduce

from caffe.export.graph import Graph, Shapes, converts, parameter
from caffe.layers.product.eltwise import Eltwise
from caffe.layers.product.embed import Embed
from caffe.layers.shape.joining import Concat, Slice
from caffe.layers.shape.tile import Tile
from caffe.layers.support.registry import Layer
from caffe.layers.vision.crop import Crop


@converts('Eltwise')
def eltwise(graph: Graph, layer: Eltwise, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Mul, a weighted sum or Max of all bottoms."""
    param = layer.param.eltwise_param
    if param.operation == param.MAX:
        return [graph.op('Max', *x)]
    if param.operation == param.SUM:
        x = [graph.scaled(value, coefficient) for value, coefficient in zip(x, layer.coefficients)]
    return [reduce(lambda a, b: graph.op('Mul' if param.operation == param.PROD else 'Add', a, b), x)]


@converts('Concat')
def concat(graph: Graph, layer: Concat, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Concat."""
    return [graph.op('Concat', *x, axis=layer.along)]


@converts('Slice')
def part(graph: Graph, layer: Slice, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Split into the layer's sizes."""
    if len(layer.sizes) == 1:
        return x
    return graph.ops('Split', len(layer.sizes), x[0], graph.integers(layer.sizes), axis=layer.along)


@converts('Flatten', 'Reshape')
def reshape(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Reshape to the top's shape."""
    return [graph.reshape(x[0], tops[0])]


@converts('Crop')
def crop(graph: Graph, layer: Crop, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Slice of the first bottom."""
    axes = range(layer.from_axis, len(shapes[0]))
    starts = [layer.offset[axis] for axis in axes]
    ends = [layer.offset[axis] + layer.sizes[axis] for axis in axes]
    return [graph.op('Slice', x[0], *map(graph.integers, (starts, ends, list(axes))))]


@converts('Tile')
def tile(graph: Graph, layer: Tile, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Concat of the bottom with itself."""
    return [graph.op('Concat', *x * layer.tiles, axis=layer.along)]


@converts('Embed')
def embed(graph: Graph, layer: Embed, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Gather of weight rows, plus a bias."""
    y = graph.op('Gather', graph.constant(parameter(layer.blobs[0]), 'weight'), graph.op('Cast', x[0], to=7))
    return [graph.op('Add', y, graph.constant(parameter(layer.blobs[1]), 'bias')) if len(layer.blobs) > 1 else y]


@converts('BatchReindex')
def batch_reindex(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Gather of items."""
    return [graph.op('Gather', x[0], graph.op('Cast', x[1], to=7))]


@converts('Filter')
def pick(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Compress each bottom by the last."""
    chosen = graph.op('Reshape', graph.op('Cast', x[-1], to=9), graph.integers([-1], 'shape'))
    return [graph.op('Compress', value, chosen, axis=0) for value in x[:-1]]


@converts('Parameter')
def learned(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """A constant."""
    return [graph.constant(parameter(layer.blobs[0]), 'value')]
