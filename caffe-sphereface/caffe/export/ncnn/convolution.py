"""Convolution, Deconvolution and InnerProduct."""

import numpy as np

from caffe.export.graph import parameter
from caffe.export.ncnn.graph import NcnnGraph, Parameters, Shapes, Weight, converts
from caffe.layers.product.inner_product import InnerProduct
from caffe.layers.vision.convolution import Convolution
from caffe.layers.vision.sided_convolution import SidedConvolution

# indices of the parameters for (height, width)
_KERNEL, _DILATION, _STRIDE, _PAD = (11, 1), (12, 2), (13, 3), (14, 4)


def _window(layer: Convolution) -> Parameters:
    window = layer.window
    if isinstance(layer, SidedConvolution):
        layer.error('pads each side in its own way, expected pad, pad_h and pad_w only')
    if window.axis != 1 or len(window.kernel) != 2:
        layer.error(f'has {len(window.kernel)} spatial axes from axis {window.axis} on, expected 2 behind the channels')
    fields = (
        (_KERNEL, window.kernel),
        (_DILATION, window.dilation),
        (_STRIDE, window.stride),
        (_PAD, window.pad),
    )
    return {key: int(size) for keys, sizes in fields for key, size in zip(keys, sizes)}


def _filters(layer: Convolution) -> np.ndarray:
    """(outputs, inputs / group, height, width); Caffe keeps those of a Deconvolution by inputs."""
    values = parameter(layer.blobs[0])
    if not layer.transposed:
        return values
    rows, columns, *kernel = values.shape
    parts = values.reshape(layer.group, rows // layer.group, columns, *kernel)
    return parts.transpose(0, 2, 1, 3, 4)


@converts('Convolution', 'Deconvolution', 'DepthwiseConvolution', 'ConvolutionDepthwise')
def convolution(graph: NcnnGraph, layer: Convolution, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Convolution or Deconvolution, in the form called DepthWise with several groups; one for each bottom."""
    kind = 'Deconvolution' if layer.transposed else 'Convolution'
    filters = _filters(layer)
    params = _window(layer) | {0: layer.outputs, 5: int(len(layer.blobs) > 1), 6: int(filters.size)}
    if layer.group > 1:
        kind, params[7] = f'{kind}DepthWise', layer.group
    weights = [Weight(filters, flagged=True), *(Weight(parameter(blob)) for blob in layer.blobs[1:])]
    parts = ['', *map(str, range(1, len(x)))]
    return [graph.op(kind, value, params, weights, part)[0] for value, part in zip(x, parts)]


@converts('InnerProduct')
def inner_product(graph: NcnnGraph, layer: InnerProduct, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """InnerProduct over all axes behind the batch."""
    if len(x) > 1 or layer.from_axis != 1:
        layer.error('has weights from a bottom, or axis other than 1; expected learned weights and axis 1 for ncnn')
    # a row of several axes would be taken for several items
    flat = x[0] if len(shapes[0]) != 3 else graph.op('Flatten', x[0], part='flat')[0]
    weight = _rows(layer)
    params = {0: layer.outputs, 1: int(len(layer.blobs) > 1), 2: int(weight.size)}
    weights = [Weight(weight, flagged=True), *(Weight(parameter(blob)) for blob in layer.blobs[1:])]
    return graph.op('InnerProduct', flat, params, weights)


def _rows(layer: InnerProduct) -> np.ndarray:
    """(outputs, inputs), each row divided by its norm where the layer does so."""
    values = parameter(layer.blobs[0])
    if layer.transpose:
        return values.reshape(layer.inputs, layer.outputs).T
    rows = values.reshape(layer.outputs, layer.inputs)
    if layer.param.inner_product_param.normalize:
        rows = rows / np.sqrt(np.square(rows).sum(1, keepdims=True) + 1e-6)
    return rows
