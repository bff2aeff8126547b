"""Pooling and LRN."""

from caffe.export.ncnn.graph import NcnnGraph, Parameters, Shapes, converts
from caffe.layers.norm.lrn import LRN
from caffe.layers.vision.pooling import Pooling
from caffe.layers.vision.pooling_kernels import Geometry
from caffe.layers.vision.sided_pooling import SidedPooling

_MAX, _AVERAGE = 0, 1
_UP, _DOWN = 0, 1  # how ncnn rounds the number of windows
_ACROSS, _WITHIN = 0, 1


@converts('Pooling')
def pooling(graph: NcnnGraph, layer: Pooling | SidedPooling, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Pooling with Caffe's window rules."""
    if isinstance(layer, SidedPooling):
        layer.error('pads each side in its own way, expected pad, pad_h and pad_w only')
    if layer.stochastic or len(tops) > 1:
        layer.error('has pool: STOCHASTIC or a mask, expected pool: MAX or AVE with one top for ncnn')
    kind = _MAX if layer.is_max else _AVERAGE
    if layer.kernel is None:
        # ncnn gives a value of one axis
        return [graph.reshape(graph.op('Pooling', x, {0: kind, 4: 1})[0], (-1, 1, 1))]
    geometry = layer.geometry
    if geometry.output != geometry.filled:
        layer.error(f'has windows beyond its bottom of {geometry.size}, which ncnn does not have')
    window = _pairs((11, 1), geometry.kernel) | _pairs((12, 2), geometry.stride)
    value, pad = x[0], geometry.pad
    if kind == _AVERAGE and any(pad):
        # Caffe's mean counts pads, but not what windows cover beyond them
        value, pad = graph.op('Padding', value, _around(pad) | {5: 0.0}, part='padded')[0], (0, 0)
    return graph.op('Pooling', value, {0: kind, **window, **_rounded(geometry, pad)})


def _pairs(keys: tuple[int, int], sizes: tuple[int, ...]) -> Parameters:
    return {key: int(size) for key, size in zip(keys, sizes)}


def _around(pad: tuple[int, ...]) -> Parameters:
    height, width = pad
    return {0: height, 1: height, 2: width, 3: width}


def _rounded(geometry: Geometry, pad: tuple[int, ...]) -> Parameters:
    """`pad`, of Caffe's pads those that are still to come, and how ncnn comes to Caffe's number of windows.

    Both programs round up alike but for a window that begins beyond the pad, which Caffe drops: then the pads are those
    that fill Caffe's windows exactly.
    """
    _, right, _, bottom = geometry.margins()
    pads = _pairs((13, 3), pad)
    if not geometry.ceil:
        return {5: _DOWN, **pads}
    if bottom >= geometry.pad[0] and right >= geometry.pad[1]:
        return {5: _UP, **pads}
    done = [whole - left for whole, left in zip(geometry.pad, pad)]
    return {5: _DOWN, **pads, 14: max(0, right - done[1]), 15: max(0, bottom - done[0])}


@converts('LRN')
def lrn(graph: NcnnGraph, layer: LRN, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """LRN across channels or within each."""
    region = _WITHIN if layer.within else _ACROSS
    numbers = {2: float(layer.alpha), 3: float(layer.beta), 4: float(layer.k)}
    return graph.op('LRN', x, {0: region, 1: int(layer.size), **numbers})
