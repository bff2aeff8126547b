"""Layers in forms that more readers and chips have: rectifiers without slopes of channels, dense and undilated filters.

dense and undilated give the same outputs from larger filters, which hold zeros. relu and leaky change outputs: refit
the layers behind (`sphereslim reconstruct` without a selection) and distil.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import layer_type
from sphereslim.net.messages import copy_of
from sphereslim.net.weights import blob_array, set_blob_array, weight_layers


def plain(
    net: caffe_pb2.NetParameter,
    module: str,
    layers: Iterable[str] | None = None,
    weights: caffe_pb2.NetParameter | None = None,
) -> caffe_pb2.NetParameter:
    """The net with each of the named layers (default: all that there are) in the form `module`, of FORMS.

    Names stay. SlimError names a layer that has no such form; 'leaky' takes its slopes from `weights`.
    """
    result, stored = copy_of(net), weight_layers(weights) if weights else {}
    form = FORMS[module]
    found = {layer.name: layer for layer in result.layer if form.applies(layer)}
    for name in found if layers is None else list(layers):
        if name not in found:
            raise SlimError(f"layer '{name}': there is nothing in it for module {module}")
        form.change(found[name], stored.get(name))
    if not found:
        raise SlimError(f"net '{net.name}': has no layer for module {module}")
    return result


def plain_weights(
    net: caffe_pb2.NetParameter,
    weights: caffe_pb2.NetParameter,
    module: str,
    layers: Iterable[str] | None = None,
) -> caffe_pb2.NetParameter:
    """The weights of `net` for what `plain` makes of it."""
    form = FORMS[module]
    names = {layer.name: layer for layer in net.layer if form.applies(layer)}
    wanted = names if layers is None else set(layers)
    result = copy_of(weights)
    for layer in result.layer:
        if layer.name in wanted and layer.name in names:
            form.change_weights(names[layer.name], layer)
    return result


def _rectifies(layer: caffe_pb2.LayerParameter) -> bool:
    return layer.type == 'PReLU'


def _relu(layer: caffe_pb2.LayerParameter, stored: caffe_pb2.LayerParameter | None) -> None:
    layer.type = 'ReLU'
    for field in ('prelu_param', 'param', 'blobs'):
        layer.ClearField(field)


def _leaky(layer: caffe_pb2.LayerParameter, stored: caffe_pb2.LayerParameter | None) -> None:
    if stored is None or not stored.blobs:
        raise SlimError(f"layer '{layer.name}': its slopes are in the weights, expected --weights for module leaky")
    _relu(layer, stored)
    layer.relu_param.negative_slope = float(np.mean(blob_array(stored.blobs[0])))


def _without_blobs(layer: caffe_pb2.LayerParameter, stored: caffe_pb2.LayerParameter) -> None:
    stored.ClearField('blobs')
    stored.type = 'ReLU'


def _is_grouped(layer: caffe_pb2.LayerParameter) -> bool:
    own = layer.type == 'ConvolutionDepthwise'
    return layer_type(layer).convolves and (own or layer.convolution_param.group > 1)


def _dense(layer: caffe_pb2.LayerParameter, stored: caffe_pb2.LayerParameter | None) -> None:
    if layer.type == 'ConvolutionDepthwise' and stored is None:
        raise SlimError(f"layer '{layer.name}': its number of channels is in the weights, expected --weights")
    if layer.type == 'ConvolutionDepthwise' and stored is not None:
        layer.convolution_param.num_output = len(blob_array(stored.blobs[0]))
    layer.type = 'Convolution'
    layer.convolution_param.ClearField('group')


def _dense_weights(layer: caffe_pb2.LayerParameter, stored: caffe_pb2.LayerParameter) -> None:
    """(outputs, inputs / groups, …) → (outputs, inputs, …), zeros between the groups."""
    narrow = blob_array(stored.blobs[0])
    groups = len(narrow) if layer.type == 'ConvolutionDepthwise' else layer.convolution_param.group
    outputs, inputs = len(narrow) // groups, narrow.shape[1]
    wide = np.zeros((len(narrow), inputs * groups, *narrow.shape[2:]), narrow.dtype)
    for group in range(groups):
        rows, columns = (slice(group * size, (group + 1) * size) for size in (outputs, inputs))
        wide[rows, columns] = narrow[rows]
    set_blob_array(stored.blobs[0], wide)
    stored.type = 'Convolution'


def _is_dilated(layer: caffe_pb2.LayerParameter) -> bool:
    return layer_type(layer).convolves and any(size != 1 for size in layer.convolution_param.dilation)


def _kernel(layer: caffe_pb2.LayerParameter) -> list[int]:
    param = layer.convolution_param
    return [param.kernel_h, param.kernel_w] if param.kernel_h else [*param.kernel_size]


def _dilations(layer: caffe_pb2.LayerParameter, axes: int) -> list[int]:
    stated = list(layer.convolution_param.dilation)
    return stated * axes if len(stated) == 1 else stated


def _undilated(layer: caffe_pb2.LayerParameter, stored: caffe_pb2.LayerParameter | None) -> None:
    param = layer.convolution_param
    kernel = _kernel(layer)
    axes = max(len(kernel), len(param.dilation))
    kernel = kernel * axes if len(kernel) == 1 else kernel
    sizes = [(size - 1) * step + 1 for size, step in zip(kernel, _dilations(layer, axes))]
    if param.kernel_h:
        param.kernel_h, param.kernel_w = sizes
    else:
        param.kernel_size[:] = sizes if len({*sizes}) > 1 else sizes[:1]
    param.ClearField('dilation')


def _undilated_weights(layer: caffe_pb2.LayerParameter, stored: caffe_pb2.LayerParameter) -> None:
    """Zeros between the taps."""
    taps = blob_array(stored.blobs[0])
    steps = _dilations(layer, taps.ndim - 2)
    wide = np.zeros((*taps.shape[:2], *((n - 1) * step + 1 for n, step in zip(taps.shape[2:], steps))), taps.dtype)
    places = tuple(slice(None, None, step) for step in (1, 1, *steps))
    wide[places] = taps
    set_blob_array(stored.blobs[0], wide)


@dataclass(frozen=True)
class Form:
    """Which layers it is for, what it makes of one, given that of the weights, and what it makes of the latter."""

    applies: Callable[[caffe_pb2.LayerParameter], bool]
    change: Callable[[caffe_pb2.LayerParameter, caffe_pb2.LayerParameter | None], None]
    change_weights: Callable[[caffe_pb2.LayerParameter, caffe_pb2.LayerParameter], None]


FORMS = {
    'relu': Form(_rectifies, _relu, _without_blobs),
    'leaky': Form(_rectifies, _leaky, _without_blobs),
    'dense': Form(_is_grouped, _dense, _dense_weights),
    'undilated': Form(_is_dilated, _undilated, _undilated_weights),
}
