"""Where a pixel of one top lies in another, for nets written with NetSpec: caffe.coord_map.

A map is (axis, a, b): along the spatial axes from `axis` on, x ↦ a·x + b; axis None stands for any. `crop` uses it to
align a score map with the picture that it was computed from (Long, Shelhamer & Darrell 2015).
"""

from collections.abc import Iterator

import numpy as np

from caffe.net_spec import Function, Top
from caffe.net_spec import layers as L

Value = float | np.ndarray  # one for all spatial axes, or one for each
Map = tuple[int | None, Value, Value]

_ELEMENTWISE = frozenset(
    (
        'AbsVal',
        'BatchNorm',
        'Bias',
        'BN',
        'BNLL',
        'Clip',
        'Dropout',
        'Eltwise',
        'ELU',
        'Exp',
        'Log',
        'LRN',
        'MVN',
        'Power',
        'PReLU',
        'ReLU',
        'ReLU6',
        'Scale',
        'SeLu',
        'SeLuDropout',
        'Sigmoid',
        'Softmax',
        'Split',
        'Swish',
        'TanH',
        'Threshold',
    )
)


class UndefinedMapException(Exception):
    """A layer whose coordinates have no affine relation."""


class AxisMismatchException(Exception):
    """Two maps that start at different axes."""


def coord_map(fn: Function) -> Map:
    """The map from the coordinates of a Function's bottom to those of its top, as (axis, a, b)."""
    if fn.type_name in ('Convolution', 'DepthwiseConvolution', 'ConvolutionDepthwise', 'Pooling', 'Im2col'):
        axis, stride, extent, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (extent - 1) / 2) / stride
    if fn.type_name == 'Deconvolution':
        axis, stride, extent, pad = conv_params(fn)
        return axis, stride, (extent - 1) / 2 - pad
    if fn.type_name in _ELEMENTWISE:
        return None, 1, 0
    if fn.type_name == 'Crop':
        axis, offset = crop_params(fn)
        # cropping counts from the first cropped axis, maps from the axis before it
        return axis - 1, 1, -offset
    raise UndefinedMapException(f'{fn.type_name} has no coordinate map')


def conv_params(fn: Function) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """(axis, stride, extent of the dilated kernel, pad) of a convolution-like Function; arrays, one value per axis."""
    params = fn.params.get('pooling_param' if fn.type_name == 'Pooling' else 'convolution_param', fn.params)
    if any(f'{name}_{side}' in params for name in ('kernel', 'stride', 'pad') for side in 'hw'):
        raise UndefinedMapException(f'{fn.type_name}: kernel_h and the like have no map, expected kernel_size')
    if 'kernel_size' not in params:
        raise UndefinedMapException(f'{fn.type_name} has no kernel_size')
    kernel, dilation, stride, pad = (
        np.array(params.get(name, default), ndmin=1)
        for name, default in (('kernel_size', None), ('dilation', 1), ('stride', 1), ('pad', 0))
    )
    return params.get('axis', 1), stride, (kernel - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, np.ndarray]:
    """(axis, offsets) of a Crop Function."""
    params = fn.params.get('crop_param', fn.params)
    return params.get('axis', 2), np.array(params.get('offset', 0), ndmin=1)


def compose(base_map: Map, next_map: Map) -> Map:
    """The map that applies `next_map` first and `base_map` to its result."""
    axis, a, b = base_map
    next_axis, next_a, next_b = next_map
    if axis is not None and next_axis is not None and axis != next_axis:
        raise AxisMismatchException(f'maps start at axes {axis} and {next_axis}, expected the same')
    return next_axis if axis is None else axis, a * next_a, a * next_b + b


def inverse(coord_map: Map) -> Map:
    """The map back."""
    axis, a, b = coord_map
    return axis, 1 / a, -b / a


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map from the coordinates of one top to those of another through their nearest common source.

    Raises RuntimeError when no chain of spatial layers connects them.
    """
    from_maps = dict(_walk(top_from))
    for top, to_map in _walk(top_to):
        if top in from_maps:
            return compose(to_map, inverse(from_maps[top]))
    raise RuntimeError('no map between the tops, expected them to be connected by spatial layers')


def _walk(start: Top) -> Iterator[tuple[Top, Map]]:
    """Yield (top, map from its coordinates to those of `start`) for everything that `start` is computed from."""
    maps: dict[Top, Map] = {start: (None, 1, 0)}
    frontier = [start]
    while frontier:
        top = frontier.pop(0)
        yield top, maps[top]
        # what a Crop crops to gives its size, not its coordinates
        bottoms = top.fn.inputs[:1] if top.fn.type_name == 'Crop' else top.fn.inputs
        try:
            steps = [(bottom, coord_map(top.fn)) for bottom in bottoms]
        except UndefinedMapException:
            continue
        for bottom, step in steps:
            if bottom not in maps:
                maps[bottom] = compose(maps[top], step)
                frontier.append(bottom)


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that cuts `top_from` to the size and place of `top_to`.

    Raises AssertionError when that takes another scale, or an offset that is negative or not whole.
    """
    axis, *line = coord_map_from_to(top_from, top_to)
    a, b = map(np.asarray, line)
    if not (a == 1).all():
        raise AssertionError(f'crop: scales differ by {a}, expected the same scale')
    if not (b <= 0).all():
        raise AssertionError(f'crop: offset {-b}, expected at least 0')
    if not (np.round(b) == b).all():
        raise AssertionError(f'crop: offset {-b}, expected a whole number')
    if axis is None:
        raise AssertionError('crop: nothing but element-wise layers between the tops, expected one with spatial axes')
    return L.Crop(top_from, top_to, crop_param=dict(axis=axis + 1, offset=[int(-value) for value in np.atleast_1d(b)]))
