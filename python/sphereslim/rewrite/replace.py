"""Convolutions replaced by modules, in any net."""

from __future__ import annotations

from collections.abc import Iterable

from sphereslim.engine import caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.costs import open_with_inputs
from sphereslim.net.inputs import is_data
from sphereslim.net.messages import copy_of
from sphereslim.net.prototxt import find_layer
from sphereslim.rewrite.modules import MODULES, S_RATIO, Site, check_site
from sphereslim.rewrite.tail import NEURONS, NORMS, tail_of


def replaceable(net: caffe_pb2.NetParameter) -> list[str]:
    """Names of the 3x3 convolutions of one group, with parameters of their own, that make more than one channel.

    Those that read the net's input are not among them: a squeeze would starve them.
    """
    inputs = {top for layer in net.layer if is_data(layer) for top in layer.top}
    return [
        layer.name
        for layer in net.layer
        if layer.type == 'Convolution' and _is_plain(layer) and not inputs.intersection(layer.bottom)
    ]


def _is_plain(layer: caffe_pb2.LayerParameter) -> bool:
    try:
        check_site(layer, 'fire')
    except SlimError:
        return False
    return True


def substitute(
    net: caffe_pb2.NetParameter,
    module: str,
    layers: Iterable[str] | None = None,
    s_ratio: float = S_RATIO,
    shape: tuple[int, ...] | None = None,
) -> caffe_pb2.NetParameter:
    """The net with each of the named convolutions (default: all `replaceable`) replaced by a module of MODULES.

    New layers are called <convolution>_<part>; the module's top is the convolution's, so readers stay as they are.
    BatchNorm, Scale and ReLU follow every new convolution; what follows the old one already is used for its end.
    `shape` is the input's (N, C, H, W) where the prototxt does not say it. SlimError names the layer that does not fit.
    """
    if module not in MODULES:
        raise SlimError(f'module {module}: expected one of {", ".join(MODULES)}')
    names = replaceable(net) if layers is None else list(layers)
    if not names:
        raise SlimError(f"net '{net.name}': no 3x3 convolution to replace")
    for name in names:
        check_site(find_layer(net, name), module)
    opened = open_with_inputs(net, shape)
    result = copy_of(net)
    del result.layer[:]
    for layer in net.layer:
        result.layer.extend(MODULES[module](_site(net, layer, opened, s_ratio)) if layer.name in names else [layer])
    open_with_inputs(result, shape)
    return result


def _site(net: caffe_pb2.NetParameter, layer: caffe_pb2.LayerParameter, opened: caffe.Net, s_ratio: float) -> Site:
    bottom = layer.bottom[0]
    if bottom not in opened.blobs:
        raise SlimError(f"layer '{layer.name}': reads blob '{bottom}', which phase TEST does not have")
    kinds = [net.layer[index].type for index in tail_of(net, layer)[0]]
    return Site(
        layer,
        opened.blobs[bottom].data.shape[1],
        any(k in NORMS for k in kinds),
        any(k in NEURONS for k in kinds),
        s_ratio,
    )
