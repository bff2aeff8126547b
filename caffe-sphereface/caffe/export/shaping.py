"""Layers that join, part, pick and rearrange, and Eltwise."""

from functools import reduce

from caffe.export.graph import converts, parameter


@converts('Eltwise')
def eltwise(graph, layer, x, shapes, tops):
    """Mul, a weighted sum or Max of all bottoms."""
    param = layer.param.eltwise_param
    if param.operation == param.MAX:
        return [graph.op('Max', *x)]
    if param.operation == param.SUM:
        x = [graph.scaled(value, coefficient) for value, coefficient in zip(x, layer.coefficients)]
    return [reduce(lambda a, b: graph.op('Mul' if param.operation == param.PROD else 'Add', a, b), x)]


@converts('Concat')
def concat(graph, layer, x, shapes, tops):
    """Concat."""
    return [graph.op('Concat', *x, axis=layer.along)]


@converts('Slice')
def part(graph, layer, x, shapes, tops):
    """Split into the layer's sizes."""
    if len(layer.sizes) == 1:
        return x
    return graph.op('Split', x[0], graph.integers(layer.sizes), outputs=len(layer.sizes), axis=layer.along)


@converts('Flatten', 'Reshape')
def reshape(graph, layer, x, shapes, tops):
    """Reshape to the top's shape."""
    return [graph.reshape(x[0], tops[0])]


@converts('Crop')
def crop(graph, layer, x, shapes, tops):
    """Slice of the first bottom."""
    axes = range(layer.from_axis, len(shapes[0]))
    starts = [layer.offset[axis] for axis in axes]
    ends = [layer.offset[axis] + layer.sizes[axis] for axis in axes]
    return [graph.op('Slice', x[0], *map(graph.integers, (starts, ends, list(axes))))]


@converts('Tile')
def tile(graph, layer, x, shapes, tops):
    """Concat of the bottom with itself."""
    return [graph.op('Concat', *x * layer.tiles, axis=layer.along)]


@converts('Embed')
def embed(graph, layer, x, shapes, tops):
    """Gather of weight rows, plus a bias."""
    y = graph.op('Gather', graph.constant(parameter(layer.blobs[0]), 'weight'), graph.op('Cast', x[0], to=7))
    return [graph.op('Add', y, graph.constant(parameter(layer.blobs[1]), 'bias')) if len(layer.blobs) > 1 else y]


@converts('BatchReindex')
def batch_reindex(graph, layer, x, shapes, tops):
    """Gather of items."""
    return [graph.op('Gather', x[0], graph.op('Cast', x[1], to=7))]


@converts('Filter')
def pick(graph, layer, x, shapes, tops):
    """Compress each bottom by the last."""
    chosen = graph.op('Reshape', graph.op('Cast', x[-1], to=9), graph.integers([-1], 'shape'))
    return [graph.op('Compress', value, chosen, axis=0) for value in x[:-1]]


@converts('Parameter')
def learned(graph, layer, x, shapes, tops):
    """A constant."""
    return [graph.constant(parameter(layer.blobs[0]), 'value')]
