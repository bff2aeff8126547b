"""What the rules of a target are about: numbers and words of a layer in its net, and sizes of a whole net."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sphereslim.engine import caffe, caffe_pb2
from sphereslim.net.layer_types import layer_type

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Site:
    """A layer and the shapes of its blobs."""

    layer: caffe_pb2.LayerParameter
    bottoms: list[Shape]
    tops: list[Shape]


def _window(site: Site, field: str, default: int) -> list[int]:
    """Height and width of the kernel, stride, pad or dilation of a convolution or a pooling; [] for other layers."""
    if site.layer.type == 'Pooling':
        param = site.layer.pooling_param
        if field == 'kernel' and param.global_pooling:
            return list(site.bottoms[0][2:])
    elif layer_type(site.layer).convolves or site.layer.type == 'Deconvolution':
        param = site.layer.convolution_param
    else:
        return []
    by_axis = [f'{field}_h', f'{field}_w']
    if all(name in param.DESCRIPTOR.fields_by_name and param.HasField(name) for name in by_axis):
        return [getattr(param, name) for name in by_axis]
    single = 'kernel_size' if field == 'kernel' else field
    if single not in param.DESCRIPTOR.fields_by_name:
        return []
    stated = getattr(param, single)
    values = [stated] if isinstance(stated, int) else list(stated)
    return values or [default]


def _grouping(site: Site) -> list[str]:
    """'dense', 'grouped' or 'depthwise'."""
    if not site.bottoms or not (layer_type(site.layer).convolves or site.layer.type == 'Deconvolution'):
        return []
    own = site.layer.type == 'ConvolutionDepthwise'
    group = site.bottoms[0][1] if own else site.layer.convolution_param.group
    if group == 1:
        return ['dense']
    return ['depthwise' if group == site.bottoms[0][1] == site.tops[0][1] else 'grouped']


def _channels(shapes: list[Shape]) -> list[int]:
    return [shape[1] for shape in shapes if len(shape) > 1]


def _axis(shapes: list[Shape], axis: int) -> list[int]:
    return [shape[axis] for shape in shapes if len(shape) == 4]


VALUES: dict[str, Callable[[Site], list[Any]]] = {
    'kernel': lambda site: _window(site, 'kernel', 0),
    'stride': lambda site: _window(site, 'stride', 1),
    'pad': lambda site: _window(site, 'pad', 0),
    'dilation': lambda site: _window(site, 'dilation', 1),
    'grouping': _grouping,
    'bottom_channels': lambda site: _channels(site.bottoms),
    'top_channels': lambda site: _channels(site.tops),
    'bottom_height': lambda site: _axis(site.bottoms, 2),
    'bottom_width': lambda site: _axis(site.bottoms, 3),
    'top_height': lambda site: _axis(site.tops, 2),
    'top_width': lambda site: _axis(site.tops, 3),
    'bottom_axes': lambda site: [len(shape) for shape in site.bottoms],
    'bottoms': lambda site: [len(site.bottoms)],
    'tops': lambda site: [len(site.tops)],
    'batch_kept': lambda site: [_keeps_batch(site)],
    'learned_axis': lambda site: [_learned_axis(site.layer)] if len(site.bottoms) == 1 else [],
    'kernel_axes': lambda site: [len(shape) - 2 for shape in site.bottoms],
    'statistics': lambda site: [_statistics(site.layer)],
    'permute_first': lambda site: [*site.layer.permute_param.order][:1],
    'permute_axes': lambda site: ['all' if len(site.layer.permute_param.order) == len(site.bottoms[0]) else 'some'],
    'normalize_kind': lambda site: ['ssd' if site.layer.HasField('norm_param') else 'normface'],
    'depthwise_outputs': lambda site: [site.layer.convolution_param.num_output / site.bottoms[0][1]],
}


def _learned_axis(layer: caffe_pb2.LayerParameter) -> int:
    """Where the values of a Scale or Bias begin; 1, which changes nothing, for a single one."""
    param = layer.scale_param if layer.type == 'Scale' else layer.bias_param
    return param.axis if param.num_axes else 1


def _statistics(layer: caffe_pb2.LayerParameter) -> str:
    """'stored' or 'batch': where a norm takes means and variances from in phase TEST."""
    if layer.type == 'BatchNorm':
        param = layer.batch_norm_param
        return 'batch' if param.HasField('use_global_stats') and not param.use_global_stats else 'stored'
    param = layer.bn_param
    return 'batch' if param.HasField('bn_mode') and param.bn_mode == param.LEARN else 'stored'


def _keeps_batch(site: Site) -> bool:
    """Whether every blob has an axis of the batch, of the same size."""
    shapes = [*site.bottoms, *site.tops]
    return all(len(shape) > 1 for shape in shapes) and len({shape[0] for shape in shapes}) <= 1


def values_of(site: Site, name: str, given: bool = False) -> list[Any]:
    """The values of that name: of VALUES, or of a field; with `given` whether the prototxt states the field."""
    if name in VALUES:
        return VALUES[name](site)
    *path, last = name.split('.')
    message: Any = site.layer
    for part in path:
        if part not in message.DESCRIPTOR.fields_by_name:
            return []
        message = getattr(message, part)
    field = message.DESCRIPTOR.fields_by_name.get(last)
    if field is None:
        return []
    if given:
        return [any(stated.name == last for stated, _ in message.ListFields())]
    value = getattr(message, last)
    values = list(value) if hasattr(value, 'extend') else [value]  # repeated fields extend
    return [field.enum_type.values_by_number[v].name for v in values] if field.enum_type else values


def _parameters(net: caffe.Net, sites: list[Site]) -> int:
    return sum(blob.count for blobs in net.params.values() for blob in blobs)


def _largest_features(net: caffe.Net, sites: list[Site]) -> int:
    """The most values that a layer's bottoms and tops hold together, for one picture."""
    return max((sum(math.prod(shape[1:]) for shape in {*site.bottoms, *site.tops}) for site in sites), default=0)


# of a net as a whole; both in numbers, which int8 stores in a byte each
SIZES: dict[str, Callable[[Any, list[Site]], int]] = {
    'parameters': _parameters,
    'largest_features': _largest_features,
}
