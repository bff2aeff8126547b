"""Layers that only forks have."""

from math import prod

import numpy as np

from caffe.export.graph import Graph, Shapes, converts, parameter
from caffe.layers import Layer
from caffe.layers.activation.fixed_neuron import FixedNeuron
from caffe.layers.detection.prior_box import PriorBox
from caffe.layers.face.inner_distance import InnerDistance
from caffe.layers.norm.ssd_normalize import SSDNormalize
from caffe.layers.product.channel_scale import ChannelScale
from caffe.layers.regions.roi_pooling import ROIPooling
from caffe.layers.shape.flip import Flip
from caffe.layers.shape.permute import Permute
from caffe.layers.shape.reorg import Reorg
from caffe.layers.vision.interp import Interp
from caffe.layers.vision.upsample import MaskedUpsample, Upsample


@converts('ReLU6')
def relu6(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """LeakyRelu where there is a slope, and Clip."""
    slope = layer.param.relu6_param.negative_slope
    if not slope:
        return [graph.op('Clip', x[0], graph.constant(0, 'low'), graph.constant(6, 'high'))]
    return [graph.op('Min', graph.op('LeakyRelu', x[0], alpha=slope), graph.constant(6, 'high'))]


@converts('FixedNeuron')
def fixed_neuron(graph: Graph, layer: FixedNeuron, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Floor of the value in steps and a half, Clip, and back to values."""
    param, position = layer.param.fixed_param, layer.position()
    if not param.enable:
        return x
    if param.follow_data_layer or abs(position) > 100:
        layer.error(f'has position {position} and follow_data_layer {param.follow_data_layer}, expected it in training')
    half = 2.0 ** (param.bit_width - 1)
    whole = graph.op('Floor', graph.scaled(x[0], 2.0**position, 0.5))
    limited = graph.op('Clip', whole, graph.constant(-half, 'low'), graph.constant(half - 1, 'high'))
    return [graph.scaled(limited, 2.0**-position)]


@converts('Axpy')
def axpy(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Mul and Add, with an axis of size 1 for each spatial axis of the factors."""
    factors = graph.reshape(x[0], (*shapes[1][:2], *[1] * (len(shapes[1]) - 2)))
    return [graph.op('Add', graph.op('Mul', factors, x[1]), x[2])]


@converts('ChannelScale')
def channel_scale(graph: Graph, layer: ChannelScale, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Mul; with `global_scale` by the limited value of the blob, which is the second top."""
    param = layer.param.channel_scale_param
    scale = x[1] if shapes[1] == layer.positions else graph.reshape(x[1], layer.positions)
    if param.global_scale:
        limited = np.clip(parameter(layer.blobs[0]), param.min_global_scale, param.max_global_scale)
        scale = graph.constant(limited, 'scale')
    y = graph.op('Mul', x[0], scale) if param.do_forward else graph.op('Identity', x[0])
    return [y, scale][: len(layer.param.top)]


@converts('ShuffleChannel')
def shuffle(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Reshape into groups, Transpose, Reshape."""
    num, channels, *space = shapes[0]
    group = layer.param.shuffle_channel_param.group
    parted = graph.reshape(x[0], (num, group, channels // group, prod(space)))
    return [graph.reshape(graph.op('Transpose', parted, perm=[0, 2, 1, 3]), shapes[0])]


@converts('Reorg')
def reorg(graph: Graph, layer: Reorg, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Reshape, Transpose, Reshape."""
    sizes, order = layer.parts()
    return [graph.reshape(graph.op('Transpose', graph.reshape(x[0], (-1, *sizes)), perm=order), (-1, *tops[0][1:]))]


@converts('Permute')
def permute(graph: Graph, layer: Permute, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Transpose."""
    return [graph.op('Transpose', x[0], perm=layer.order)]


@converts('Flip')
def flip(graph: Graph, layer: Flip, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Slice backwards."""
    if not layer.mirrored:
        return x
    axes = layer.mirrored
    ends = [-shapes[0][axis] - 1 for axis in axes]
    steps = [-1] * len(axes)
    return [graph.op('Slice', x[0], *map(graph.integers, (steps, ends, axes, steps)))]


def _unit(graph: Graph, x: str, axes: list[int], eps: float) -> str:
    """x / sqrt(Σ x² + eps) over some axes."""
    squares = graph.op('ReduceSum', graph.op('Mul', x, x), graph.integers(axes, 'axes'))
    return graph.op('Div', x, graph.op('Sqrt', graph.scaled(squares, offset=eps)))


@converts('Normalize', of=SSDNormalize)
def ssd_normalize(graph: Graph, layer: SSDNormalize, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Division by the norm over channels or whole pictures, then Mul by the scale."""
    scale = parameter(layer.blobs[0]).reshape(-1, *[1] * (len(shapes[0]) - 2))
    unit = _unit(graph, x[0], layer.summed, layer.param.norm_param.eps)
    return [graph.op('Mul', unit, graph.constant(scale, 'scale'))]


@converts('NormL2')
def norm_l2(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Division of each item by its length."""
    flat = graph.reshape(x[0], (shapes[0][0], prod(shapes[0][1:])))
    return [graph.reshape(_unit(graph, flat, [1], 1e-7), tops[0])]


@converts('BN')
def batch_normalisation(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Mul and Add with what the stored statistics and parameters come to."""
    if not layer.can_fold(shapes[0]):
        layer.error('uses the statistics of its batch, expected the TEST phase of PSPNet’s BN, or bn_mode: INFERENCE')
    axes = [1] * (len(shapes[0]) - 2)
    weight, bias = (values.float().cpu().numpy().reshape(-1, *axes) for values in layer.linear())
    return [graph.op('Add', graph.op('Mul', x[0], graph.constant(weight, 'weight')), graph.constant(bias, 'bias'))]


@converts('Interp')
def interp(graph: Graph, layer: Interp, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Slice and a linear Resize with aligned corners."""
    value, ranges = x[0], (layer.kept_rows, layer.kept_columns)
    if ranges != tuple((0, size) for size in shapes[0][2:]):
        starts, ends = zip(*ranges)
        value = graph.op('Slice', value, *map(graph.integers, (starts, ends, (2, 3))))
    if [end - start for start, end in ranges] == layer.size:
        return [graph.op('Identity', value)]
    sizes = graph.op('Concat', graph.op('Shape', value, end=2), graph.integers(layer.size), axis=0)
    return [graph.op('Resize', value, '', '', sizes, mode='linear', coordinate_transformation_mode='align_corners')]


@converts('Upsample')
def nearest(graph: Graph, layer: Upsample, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Resize that repeats each value."""
    scales = graph.constant([1, 1, layer.scale, layer.scale], 'scales')
    return [
        graph.op(
            'Resize',
            x[0],
            '',
            scales,
            mode='nearest',
            nearest_mode='floor',
            coordinate_transformation_mode='asymmetric',
        )
    ]


@converts('Upsample', of=MaskedUpsample)
def by_mask(graph: Graph, layer: MaskedUpsample, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """ScatterElements into planes of zeros."""
    num, channels, height, width = tops[0]
    flat = [graph.reshape(value, (*shapes[0][:2], prod(shapes[0][2:]))) for value in x]
    # zeros for as many items as there are: a column of the bottom times nothing, repeated
    column = graph.op('Slice', flat[0], *map(graph.integers, ([0], [1], [2])))
    zeros = graph.op('Expand', graph.scaled(column, 0), graph.integers([1, 1, height * width], 'plane'))
    index = graph.op('Cast', flat[1], to=7)
    return [graph.reshape(graph.op('ScatterElements', zeros, index, flat[0], axis=2), tops[0])]


@converts('PriorBox')
def prior_box(graph: Graph, layer: PriorBox, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """A constant: boxes depend on sizes alone."""
    (*_, height, width), (*_, picture_height, picture_width) = shapes
    return [graph.constant(layer.values((height, width), (picture_height, picture_width)), 'boxes')]


@converts('ROIPooling')
def roi_pooling(graph: Graph, layer: ROIPooling, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """MaxRoiPool."""
    if layer.param.roi_pooling_param.pad_ratio:
        layer.error('has a pad_ratio, expected 0 for ONNX')
    scale = layer.param.roi_pooling_param.spatial_scale
    regions = graph.op('Reshape', x[1], graph.integers([-1, 5], 'shape'))
    return [graph.op('MaxRoiPool', x[0], regions, pooled_shape=layer.bins, spatial_scale=scale)]


@converts('LabelSpecificAdd', 'LabelSpecificMargin')
def passed_on(graph: Graph, layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """The scores, which these margins change in training alone."""
    if len(layer.param.top) > 1:
        layer.error('has a top for the margin, expected the scores alone for ONNX')
    return [graph.op('Identity', x[0])]


@converts('InnerDistance')
def inner_distance(graph: Graph, layer: InnerDistance, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Sub of all pairs and ReduceSum of squares or absolute values."""
    param, rows = layer.param.inner_distance_param, prod(shapes[0][: layer.from_axis])
    flat = graph.reshape(x[0], (rows, 1, layer.inputs))
    if len(x) > 1:
        centres = graph.op('Reshape', x[1], graph.integers([1, layer.outputs, layer.inputs], 'shape'))
    else:
        values = parameter(layer.blobs[0]).reshape(1, layer.outputs, layer.inputs)
        if param.normalize:
            values = values / np.sqrt(np.square(values).sum(2, keepdims=True) + 1e-6)
        centres = graph.constant(values, 'centres')
    apart = graph.op('Sub', flat, centres)
    each = graph.op('Abs', apart) if param.distance_type == 'L1' else graph.op('Mul', apart, apart)
    total = graph.op('ReduceSum', each, graph.integers([2], 'axes'), keepdims=0)
    return [total if layer.from_axis == 1 else graph.reshape(total, tops[0])]
