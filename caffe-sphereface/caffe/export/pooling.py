"""Pooling, SPP and LRN."""

from math import prod

import numpy as np

from caffe.export.graph import Graph, Shapes, converts
from caffe.layers.norm.lrn import LRN
from caffe.layers.vision.pooling import Pooling
from caffe.layers.vision.pooling3d import Pooling3D
from caffe.layers.vision.pooling_kernels import Geometry, MaxPool
from caffe.layers.vision.sided_pooling import SidedPooling
from caffe.layers.vision.spp import SPP


def _pads(geometry: Geometry) -> list[int]:
    """ONNX pads (top, left, bottom, right) with which rounding down gives Caffe's number of windows with values."""
    left, right, top, bottom = (max(0, margin) for margin in geometry.margins())
    return [top, left, bottom, right]


def _window(geometry: Geometry) -> dict[str, tuple[int, ...]]:
    return {'kernel_shape': geometry.kernel, 'strides': geometry.stride}


def _widened(graph: Graph, y: str, geometry: Geometry, value: float) -> str:
    """`y` with the empty windows that Caffe keeps, `value` in them."""
    below, right = (n - filled for n, filled in zip(geometry.output, geometry.filled))
    if not below and not right:
        return y
    return graph.op('Pad', y, graph.integers([0, 0, 0, 0, 0, 0, below, right], 'empty'), graph.constant(value, 'value'))


def _maximum(graph: Graph, x: str, geometry: Geometry, mask: bool = False) -> list[str]:
    if not mask:
        y = graph.op('MaxPool', x, pads=_pads(geometry), **_window(geometry))
        return [_widened(graph, y, geometry, MaxPool.EMPTY)]
    y, index = graph.ops('MaxPool', 2, x, pads=_pads(geometry), **_window(geometry))
    # ONNX counts through the whole batch, Caffe through one plane
    plane = graph.op('Mod', index, graph.integers([geometry.size[0] * geometry.size[1]], 'plane'))
    return [_widened(graph, y, geometry, MaxPool.EMPTY), _widened(graph, graph.op('Cast', plane, to=1), geometry, -1)]


def _average(graph: Graph, x: str, geometry: Geometry) -> str:
    """The mean of windows, in which pads count but not what lies beyond them."""
    if geometry.output == (1, 1) and geometry.kernel == geometry.size and geometry.pad == (0, 0):
        return graph.op('GlobalAveragePool', x)
    y = graph.op('AveragePool', x, pads=_pads(geometry), count_include_pad=1, **_window(geometry))
    y = _widened(graph, y, geometry, 0)
    areas = geometry.areas('cpu').numpy()
    whole = geometry.kernel[0] * geometry.kernel[1]
    return y if np.all(areas == whole) else graph.op('Mul', y, graph.constant(_ratio(whole, areas), 'areas'))


def _ratio(whole: int, areas: np.ndarray) -> np.ndarray:
    """`whole` / `areas`, infinite for an empty window: its mean is NaN, as Caffe has it."""
    with np.errstate(divide='ignore'):
        return whole / areas


def _expectation(graph: Graph, x: str, geometry: Geometry) -> str:
    """Σx² / Σx of windows, 0 where all are 0."""
    squares = _average(graph, graph.op('Mul', x, x), geometry)
    least = graph.constant(np.finfo(np.float32).tiny, 'tiny')
    return graph.op('Div', squares, graph.op('Max', _average(graph, x, geometry), least))


def _sided(graph: Graph, x: str, layer: SidedPooling, shape: tuple[int, ...]) -> str:
    left, right, above, below = (max(0, margin) for margin in layer.around)
    window = {'kernel_shape': layer.kernel, 'strides': layer.stride, 'pads': [above, left, below, right]}
    if layer.is_max:
        return graph.op('MaxPool', x, **window)
    whole = layer.kernel[0] * layer.kernel[1]
    y = graph.op('AveragePool', x, count_include_pad=1, **window)
    return graph.op('Mul', y, graph.constant(whole / layer.areas(shape[2:]).numpy(), 'areas'))


@converts('Pooling')
def pooling(graph: Graph, layer: Pooling | SidedPooling, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """MaxPool or AveragePool with Caffe's window rules."""
    if isinstance(layer, SidedPooling):
        return [_sided(graph, x[0], layer, shapes[0])]
    geometry = layer.geometry
    if layer.is_max:
        return _maximum(graph, x[0], geometry, mask=len(layer.param.top) > 1)
    return [(_expectation if layer.stochastic else _average)(graph, x[0], geometry)]


@converts('Pooling3D')
def pooling3d(graph: Graph, layer: Pooling3D, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """MaxPool or AveragePool over time, height and width."""
    around = layer.around(shapes[0][2:])
    pads = [*around[-2::-2], *around[::-2]]  # before time, height and width, then behind them
    if min(pads) < 0 or any(pad >= kernel for pad, kernel in zip(pads, layer.kernel * 2)):
        layer.error('has windows without a value or values between windows, which ONNX has no pads for')
    window = {'kernel_shape': layer.kernel, 'strides': layer.stride, 'pads': pads}
    if layer.is_max:
        return [graph.op('MaxPool', x[0], **window)]
    y = graph.op('AveragePool', x[0], count_include_pad=1, **window)
    whole, areas = prod(layer.kernel), layer.areas(shapes[0][2:]).numpy()
    return [y if np.all(areas == whole) else graph.op('Mul', y, graph.constant(whole / areas, 'areas'))]


@converts('SPP')
def spp(graph: Graph, layer: SPP, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Each level pooled and flattened, one after the other."""
    param = layer.param.spp_param
    levels = [
        _maximum(graph, x[0], level.geometry)[0] if param.pool == param.MAX else _average(graph, x[0], level.geometry)
        for level in layer.levels
    ]
    if len(levels) == 1:
        return levels
    return [graph.op('Concat', *[graph.op('Flatten', level, axis=1) for level in levels], axis=1)]


@converts('LRN')
def lrn(graph: Graph, layer: LRN, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """LRN over channels, or within each from an average of squares."""
    if not layer.within:
        return [graph.op('LRN', x[0], size=layer.size, alpha=layer.alpha, beta=layer.beta, bias=layer.k)]
    mean = graph.op(
        'AveragePool',
        graph.op('Mul', x[0], x[0]),
        kernel_shape=[layer.size] * 2,
        strides=[1, 1],
        pads=[layer.size // 2] * 4,
        count_include_pad=1,
    )
    base = graph.scaled(mean, layer.alpha, layer.k)
    return [graph.op('Mul', x[0], graph.op('Pow', base, graph.constant(-layer.beta, 'power')))]
