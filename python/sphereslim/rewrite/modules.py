"""The layers that take the place of one convolution.

fire (SqueezeNet, Iandola et al. 2016): a 1x1 squeeze to s_ratio * out channels, then a 1x1 and a 3x3 expand branch of
out/2 channels each, concatenated. dwpw (MobileNet, Howard et al. 2017): a depthwise k x k, then a pointwise 1x1. flame
(the 1.13 MB CelebA model): fire whose 3x3 branch is depthwise, then pointwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import pads_sides

S_RATIO = 0.125
Layers = list[Any]  # LayerParameters


@dataclass(frozen=True)
class Site:
    """Where a module goes: the convolution, its input channels, and whether a norm and a neuron follow it already."""

    conv: caffe_pb2.LayerParameter
    channels: int
    norm: bool = False
    neuron: bool = False
    s_ratio: float = S_RATIO

    @property
    def outputs(self) -> int:
        """The channels that the convolution makes."""
        return self.conv.convolution_param.num_output

    @property
    def squeezed(self) -> int:
        """Channels of the squeeze, at least 1."""
        return max(1, round(self.s_ratio * self.outputs))


def fire(site: Site) -> Layers:
    """squeeze, expand1, expand3, concat."""
    squeeze = _squeeze(site)
    expand3 = _conv(site, 'expand3', 'squeeze', site.outputs - site.outputs // 2, spatial=True)
    return _branches(site, squeeze, _ending(site, expand3))


def depthwise_pointwise(site: Site) -> Layers:
    """dw, pw."""
    depthwise = _conv(site, 'dw', None, site.channels, group=site.channels, spatial=True)
    pointwise = _conv(site, 'pw', 'dw', site.outputs)
    pointwise.top[0] = site.conv.top[0]
    return [*_followed(depthwise), *_ending(site, pointwise)]


def flame(site: Site) -> Layers:
    """squeeze, expand1, expand3_dw, expand3_pw, concat."""
    squeeze = _squeeze(site)
    depthwise = _conv(site, 'expand3_dw', 'squeeze', site.squeezed, group=site.squeezed, spatial=True)
    pointwise = _conv(site, 'expand3_pw', 'expand3_dw', site.outputs - site.outputs // 2)
    return _branches(site, squeeze, [*_followed(depthwise), *_ending(site, pointwise)])


MODULES: dict[str, Callable[[Site], Layers]] = {'fire': fire, 'dwpw': depthwise_pointwise, 'flame': flame}


def module_weights(module: str, channels: int, outputs: int, kernel: int = 3, s_ratio: float = S_RATIO) -> int:
    """Weights of the convolutions that replace a kernel x kernel one from `channels` to `outputs`."""
    conv = caffe_pb2.LayerParameter(name='conv', type='Convolution', bottom=['in'], top=['out'])
    conv.convolution_param.num_output = outputs
    conv.convolution_param.kernel_size.append(kernel)
    conv.convolution_param.pad.append(kernel // 2)
    widths = {'in': channels}
    total = 0
    for layer in MODULES[module](Site(conv, channels, s_ratio=s_ratio)):
        if layer.type == 'Convolution':
            param = layer.convolution_param
            total += widths[layer.bottom[0]] // param.group * param.num_output * param.kernel_size[0] ** 2
            widths[layer.top[0]] = param.num_output
    return total


def _squeeze(site: Site) -> Layers:
    return _followed(_conv(site, 'squeeze', None, site.squeezed))


def _branches(site: Site, squeeze: Layers, branch3: Layers) -> Layers:
    """The squeeze, both branches and their concatenation into the convolution's own top."""
    expand1 = _conv(site, 'expand1', 'squeeze', site.outputs // 2, strided=True)
    tops = [expand1.top[0], branch3[-1].top[0]]
    concat = caffe_pb2.LayerParameter(
        name=f'{site.conv.name}_concat',
        type='Concat',
        bottom=tops,
        top=site.conv.top,
        include=site.conv.include,
        exclude=site.conv.exclude,
    )
    return [*squeeze, *_ending(site, expand1), *branch3, concat]


def _conv(
    site: Site,
    part: str,
    source: str | None,
    filters: int,
    group: int = 1,
    spatial: bool = False,
    strided: bool = False,
) -> caffe_pb2.LayerParameter:
    """A 1x1 convolution, or with `spatial` one of the kernel, padding and stride that the site's has.

    `source` is the part whose top it reads, None for the site's bottom; `strided` gives a 1x1 the site's stride.
    """
    old = site.conv.convolution_param
    new = caffe_pb2.LayerParameter(
        name=f'{site.conv.name}_{part}',
        type='Convolution',
        top=[f'{site.conv.name}_{part}'],
        bottom=[f'{site.conv.name}_{source}' if source else site.conv.bottom[0]],
        param=site.conv.param[:1],
        include=site.conv.include,
        exclude=site.conv.exclude,
    )
    param = new.convolution_param
    param.num_output, param.bias_term = filters, False
    param.kernel_size.extend(old.kernel_size if spatial else [1])
    if spatial:
        param.pad.extend(old.pad)
    if spatial or strided:
        param.stride.extend(old.stride)
    if group > 1:
        param.group = group
    if old.HasField('weight_filler'):
        param.weight_filler.CopyFrom(old.weight_filler)
    return new


def _followed(conv: caffe_pb2.LayerParameter, norm: bool = True, neuron: bool = True) -> Layers:
    """A convolution with BatchNorm, Scale and ReLU in place."""
    layers, blob = [conv], conv.top[0]
    rules = {'include': conv.include, 'exclude': conv.exclude}
    trained = bool(conv.param)
    if norm:
        frozen = [{'lr_mult': 0, 'decay_mult': 0}] * 3 if trained else []
        layers.append(_in_place(f'{conv.name}_bn', 'BatchNorm', blob, param=frozen, **rules))
        free = [{'lr_mult': 1, 'decay_mult': 0}] * 2 if trained else []
        layers.append(
            _in_place(f'{conv.name}_scale', 'Scale', blob, param=free, scale_param={'bias_term': True}, **rules)
        )
    if neuron:
        layers.append(_in_place(f'{conv.name}_relu', 'ReLU', blob, **rules))
    return layers


def _ending(site: Site, conv: caffe_pb2.LayerParameter) -> Layers:
    """The last convolution of a branch: followed by what does not follow the whole module already."""
    return _followed(conv, norm=not site.norm, neuron=not site.neuron)


def _in_place(name: str, kind: str, blob: str, **fields: Any) -> caffe_pb2.LayerParameter:
    return caffe_pb2.LayerParameter(name=name, type=kind, bottom=[blob], top=[blob], **fields)


def check_site(conv: caffe_pb2.LayerParameter, module: str) -> None:
    """SlimError unless a module can replace the convolution without changing the size of its output."""
    param = conv.convolution_param
    if conv.type != 'Convolution' or param.group != 1 or len(conv.bottom) != 1:
        raise SlimError(
            f"layer '{conv.name}' ({conv.type}, group {param.group}, bottoms {len(conv.bottom)}): "
            'expected a Convolution of one group and one bottom'
        )
    shared = next((spec.name for spec in conv.param if spec.name), None)
    if shared:
        raise SlimError(
            f"layer '{conv.name}': its parameter '{shared}' may be shared by name, expected a Convolution "
            'with parameters of its own'
        )
    uneven = param.kernel_h or param.pad_h or param.pad_w or param.stride_h or pads_sides(param)
    if any(d != 1 for d in param.dilation) or uneven:
        raise SlimError(f"layer '{conv.name}': expected a square kernel without dilation")
    kernel, pad = list(param.kernel_size)[:1] or [0], list(param.pad)[:1] or [0]
    if kernel[0] < 2:
        raise SlimError(f"layer '{conv.name}': its kernel is {kernel[0]}x{kernel[0]}, expected 3x3")
    if module != 'dwpw' and (kernel != [3] or pad != [1]):
        raise SlimError(
            f"layer '{conv.name}': kernel {kernel[0]} with pad {pad[0]}, {module} expects kernel 3 with pad 1"
        )
    if module != 'dwpw' and param.num_output == 1:
        raise SlimError(
            f"layer '{conv.name}': makes 1 channel, {module} expects at least 2, one for each of its branches"
        )
