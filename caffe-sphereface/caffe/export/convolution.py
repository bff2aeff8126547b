"""Convolution, Deconvolution, Im2col and InnerProduct."""

from math import prod

import numpy as np

from caffe.export.graph import Graph, Shapes, converts, parameter
from caffe.layers.product.inner_product import InnerProduct
from caffe.layers.vision.convolution import Convolution
from caffe.layers.vision.im2col import Im2col
from caffe.layers.vision.sided_convolution import SidedConvolution


def window_attributes(layer: Convolution | Im2col, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """ONNX attributes of a layer's window over a bottom of `shape`."""
    window = layer.window
    if window.axis != 1 or not window.axes:
        layer.error(
            f'has {window.axes} spatial axes from axis {window.axis} on, '
            'ONNX expects 1 to 3 of them behind (num, channels)'
        )
    return {
        'kernel_shape': window.kernel,
        'strides': window.stride,
        'dilations': window.dilation,
        'pads': _pads(layer),
    }


def _pads(layer: Convolution | Im2col) -> tuple[int, ...]:
    if isinstance(layer, SidedConvolution):
        left, right, above, below = layer.margins
        return above, left, below, right
    return layer.window.pad * 2


@converts(
    'Convolution',
    'Deconvolution',
    'DepthwiseConvolution',
    'ConvolutionDepthwise',
    'ConvolutionFixed',
    'DeconvolutionFixed',
)
def convolution(graph: Graph, layer: Convolution, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Each bottom through Conv or ConvTranspose with the same weights."""
    kind = 'ConvTranspose' if layer.transposed else 'Conv'
    weights = [graph.constant(parameter(layer.used(blob)), hint) for blob, hint in zip(layer.blobs, ('weight', 'bias'))]
    return [
        graph.op(kind, value, *weights, group=layer.group, **window_attributes(layer, shape))
        for value, shape in zip(x, shapes)
    ]


@converts('Im2col')
def im2col(graph: Graph, layer: Im2col, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """A convolution whose filters each pick one place of the window of one channel."""
    channels, kernel = shapes[0][1], layer.window.kernel
    picks = np.eye(prod(kernel), dtype=np.float32).reshape(-1, 1, *kernel)
    return [
        graph.op(
            'Conv',
            x[0],
            graph.constant(np.tile(picks, (channels, *[1] * (picks.ndim - 1))), 'picks'),
            group=channels,
            **window_attributes(layer, shapes[0]),
        )
    ]


@converts('InnerProduct', 'InnerProductFixed')
def inner_product(graph: Graph, layer: InnerProduct, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Gemm over the flattened bottom, with learned weights or those of further bottoms."""
    kept = shapes[0][: layer.from_axis]
    flat = graph.reshape(x[0], (prod(kept), layer.inputs)) if len(shapes[0]) != 2 or layer.from_axis != 1 else x[0]
    y = graph.op('Gemm', flat, *_weights(graph, layer, x), transB=int(not layer.transpose))
    return [y if layer.from_axis == 1 else graph.reshape(y, (*kept, layer.outputs))]


def _weights(graph: Graph, layer: InnerProduct, x: list[str]) -> list[str]:
    """The names of weights and bias; rows of learned ones are divided by their norms where the layer does so."""
    matrix = (layer.inputs, layer.outputs) if layer.transpose else (layer.outputs, layer.inputs)
    if len(x) > 1:
        names = [graph.op('Reshape', x[1], graph.integers(matrix, 'shape'))]
        names += [graph.op('Reshape', x[2], graph.integers([layer.outputs], 'shape'))] if len(x) > 2 else []
        return names
    weight = parameter(layer.used(layer.blobs[0])).reshape(matrix)
    if layer.param.inner_product_param.normalize and not layer.transpose:
        weight = weight / np.sqrt(np.square(weight).sum(1, keepdims=True) + 1e-6)
    return [
        graph.constant(weight, 'weight'),
        *(graph.constant(parameter(layer.used(b)), 'bias') for b in layer.blobs[1:]),
    ]
