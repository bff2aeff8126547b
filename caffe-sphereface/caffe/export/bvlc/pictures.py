"""Layers that move and resample values, in layers of BVLC's Caffe 1.0: slices joined again, kernels of weights."""

from collections.abc import Sequence

import numpy as np
import torch

from caffe.export.bvlc.replacement import Replacement, rule
from caffe.layers.shape.flip import Flip
from caffe.layers.shape.permute import Permute
from caffe.layers.shape.shuffle_channel import ShuffleChannel
from caffe.layers.vision.interp import Interp
from caffe.layers.vision.sided_convolution import SidedConvolution
from caffe.layers.vision.sided_pooling import SidedPooling
from caffe.layers.vision.upsample import Upsample

_LARGEST_MATRIX = 2**24  # weights of an Interp that becomes an InnerProduct
_CONSTANT_ONE = {'type': 'constant', 'value': 1}


@rule(ShuffleChannel)
def _shuffle_channel(made: Replacement, layer: ShuffleChannel) -> None:
    """The groups, cut apart, are joined along an axis behind that of their channels."""
    groups, (_, channels, *space) = layer.param.shuffle_channel_param.group, made.shapes[0]
    names = [f'{layer.name}/group{i}' for i in range(groups)]
    if groups == 1:
        made.copy()
        return
    made.add('Slice', made.bottoms, 'groups', tops=names, slice_param={'axis': 1})
    apart = {'shape': {'dim': [0, channels // groups, 1, -1]}}
    columns = [made.add('Reshape', [name], f'column{i}', reshape_param=apart) for i, name in enumerate(names)]
    joined = made.add('Concat', columns, 'joined', concat_param={'axis': 2})
    made.add('Reshape', [joined], reshape_param={'shape': {'dim': [0, channels, *space]}})


@rule(Permute)
def _permute(made: Replacement, layer: Permute) -> None:
    """Axes of one value may move anywhere; any other one is cut apart and joined along its new place."""
    shape = made.shapes[0]
    order = [axis for axis in layer.order if shape[axis] != 1]
    if order == sorted(order) and made.top_shapes[0][0] == shape[0]:
        made.add('Reshape', made.bottoms, reshape_param={'shape': {'dim': [0, *made.top_shapes[0][1:]]}})
        return
    axes = list(range(len(shape)))
    moves = [(a, b) for a in axes[1:] for b in axes[1:] if _moved(axes, a, b) == list(layer.order)]
    if not moves:
        layer.error(f'has the order {list(layer.order)}, expected one that moves a single axis, and not the first')
    axis, place = min(moves, key=lambda move: shape[move[0]])
    names = [f'{layer.name}/slice{i}' for i in range(shape[axis])]
    made.add('Slice', made.bottoms, 'slices', tops=names, slice_param={'axis': axis})
    sizes = list(made.top_shapes[0])
    sizes[0], sizes[place] = 0, 1
    parts = [
        made.add('Reshape', [name], f'part{i}', reshape_param={'shape': {'dim': sizes}}) for i, name in enumerate(names)
    ]
    made.add('Concat', parts, concat_param={'axis': place})


def _moved(axes: Sequence[int], start: int, end: int) -> list[int]:
    """The axes with the one at `start` taken out and put in again at `end`."""
    rest = [*axes[:start], *axes[start + 1 :]]
    return [*rest[:end], axes[start], *rest[end:]]


@rule(Flip)
def _flip(made: Replacement, layer: Flip) -> None:
    """Rows or columns, cut apart and joined in reverse."""
    mirrored = [axis for axis in layer.mirrored if made.shapes[0][axis] > 1]
    if not mirrored:
        made.copy()
    x = made.bottoms[0]
    for axis in mirrored:
        lines = [f'{layer.name}/line{axis}_{i}' for i in range(made.shapes[0][axis])]
        made.add('Slice', [x], f'lines{axis}', tops=lines, slice_param={'axis': axis})
        suffix = '' if axis == mirrored[-1] else f'mirrored{axis}'
        x = made.add('Concat', lines[::-1], suffix, concat_param={'axis': axis})


@rule(SidedConvolution)
def _sided_convolution(made: Replacement, layer: SidedConvolution) -> None:
    """Padding alike on both sides; zeros in front of the weights, or behind them, take the rest."""
    if not made.has_weights:
        layer.error('pads each side in its own way and gets other weights, expected -weights')
    left, right, above, below = layer.margins
    weight, *bias = made.blobs()
    gaps = ((below - above, layer.window.dilation[0]), (right - left, layer.window.dilation[1]))
    if any(gap % dilation for gap, dilation in gaps):
        layer.error(f'pads {layer.margins} with dilation {layer.window.dilation}, expected steps of the dilation')
    more = [(max(0, gap // dilation), max(0, -gap // dilation)) for gap, dilation in gaps]
    new = made.keep()
    param = new.convolution_param
    for field in ('pad', 'kernel_size', 'pad_l', 'pad_r', 'pad_t', 'pad_b', 'pad_type'):
        param.ClearField(field)
    param.pad_h, param.pad_w = max(above, below), max(left, right)
    weight = np.pad(weight, ((0, 0), (0, 0), *more))
    param.kernel_h, param.kernel_w = weight.shape[2:]
    made.values[new.name] = [weight, *bias]


@rule(SidedPooling)
def _sided_pooling(made: Replacement, layer: SidedPooling) -> None:
    layer.error('pads each side in its own way or leaves padding out of means, expected pad, pad_h and pad_w only')


@rule(Upsample)
def _upsample(made: Replacement, layer: Upsample) -> None:
    channels, scale = made.shapes[0][1], layer.scale
    param = {'num_output': channels, 'group': channels, 'kernel_size': [scale], 'stride': [scale], 'bias_term': False}
    ones = np.ones((channels, 1, scale, scale), np.float32)
    filler = {'type': 'constant', 'value': 1}
    made.add('Deconvolution', made.bottoms, '', [ones], convolution_param={**param, 'weight_filler': filler})


@rule(Interp)
def _interp(made: Replacement, layer: Interp) -> None:
    """Whole steps between pixels are a Deconvolution or a Pooling, others a matrix over the positions."""
    sizes, wanted = made.shapes[0][2:], made.top_shapes[0][2:]
    whole = layer.param.interp_param.pad_beg == layer.param.interp_param.pad_end == 0
    pairs = list(zip(sizes, wanted))
    if whole and sizes == wanted:
        made.copy()
    elif whole and all(size == 1 or (new - 1) % (size - 1) == 0 for size, new in pairs):
        _interp_finer(made, layer, pairs)
    elif whole and all(new > 1 and (size - 1) % (new - 1) == 0 for size, new in pairs):
        height, width = ((size - 1) // (new - 1) for size, new in pairs)
        made.add(
            'Pooling',
            made.bottoms,
            pooling_param={'pool': 'MAX', 'kernel_size': 1, 'stride_h': height, 'stride_w': width},
        )
    else:
        _interp_by_matrix(made, layer)


def _interp_finer(made: Replacement, layer: Interp, pairs: Sequence[tuple[int, int]]) -> None:
    """Every pixel spreads over its neighbourhood; a single row or column over all."""
    steps = [1 if size == 1 else (new - 1) // (size - 1) for size, new in pairs]
    lines = [_spread(size, new, step) for (size, new), step in zip(pairs, steps)]
    kernel = np.outer(*lines).astype(np.float32)
    if not made.has_weights and (kernel != 1).any():
        layer.error('becomes a layer with weights of its own, expected -weights')
    channels = made.shapes[0][1]
    pads = [0 if size == 1 else step - 1 for (size, _), step in zip(pairs, steps)]
    param = {
        **dict(zip(('kernel_h', 'kernel_w'), kernel.shape)),
        **dict(zip(('stride_h', 'stride_w'), steps)),
        **dict(zip(('pad_h', 'pad_w'), pads)),
    }
    values = np.broadcast_to(kernel, (channels, 1, *kernel.shape)).copy()
    shared = {'num_output': channels, 'group': channels, 'bias_term': False, 'weight_filler': _CONSTANT_ONE}
    made.add('Deconvolution', made.bottoms, '', [values], convolution_param={**shared, **param})


def _spread(size: int, new: int, step: int) -> np.ndarray:
    """The share of a pixel in those around it, along one axis."""
    return np.ones(new) if size == 1 else 1 - np.abs(np.arange(1 - step, step)) / step


def _interp_by_matrix(made: Replacement, layer: Interp) -> None:
    """An InnerProduct over the positions, the same for all channels."""
    (_, _, height, width), (_, _, *new) = made.shapes[0], made.top_shapes[0]
    count, outputs = height * width, new[0] * new[1]
    if count * outputs > _LARGEST_MATRIX:
        layer.error(
            f'takes values between pixels of {height} x {width} for {new[0]} x {new[1]}, '
            f'expected whole steps, or at most {_LARGEST_MATRIX} pairs of them'
        )
    if not made.has_weights:
        layer.error('becomes a layer with weights of its own, expected -weights')
    pixels = torch.eye(count).reshape(count, 1, height, width)
    matrix = layer.infer(pixels).reshape(count, outputs).T.cpu().numpy().copy()
    param = {'num_output': outputs, 'axis': 2, 'bias_term': False}
    y = made.add('InnerProduct', made.bottoms, 'resized', [matrix], inner_product_param=param)
    made.add('Reshape', [y], reshape_param={'shape': {'dim': [0, 0, *new]}})
