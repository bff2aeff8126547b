"""Element-wise layers without parameters of their own, as pairs of functions.

A rule is (forward, backward, saved): y = forward(x), dx = backward(dy, s) with s the input x or the output y as `saved`
says.
"""

import math
from collections.abc import Callable

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register

_aten = torch.ops.aten
Rule = tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor, torch.Tensor], torch.Tensor], str]


def _absval(layer: Layer) -> Rule:
    return torch.abs, lambda dy, x: dy * x.sign(), 'x'


def _bnll(layer: Layer) -> Rule:
    """y = log(1 + eˣ), linear beyond 20 where float32 cannot tell the difference."""
    return (torch.nn.functional.softplus, lambda dy, x: _aten.softplus_backward(dy, x, 1, 20), 'x')


def _sigmoid(layer: Layer) -> Rule:
    return torch.sigmoid, _aten.sigmoid_backward, 'y'


def _tanh(layer: Layer) -> Rule:
    return torch.tanh, _aten.tanh_backward, 'y'


def _elu(layer: Layer) -> Rule:
    """y = x above 0, alpha·(eˣ − 1) below."""
    alpha = layer.param.elu_param.alpha
    return (
        lambda x: torch.nn.functional.elu(x, alpha),
        lambda dy, x: _aten.elu_backward(dy, alpha, 1, 1, False, x),
        'x',
    )


def _selu(layer: Layer) -> Rule:
    """y = lambda·x above 0, lambda·alpha·(eˣ − 1) below (Klambauer et al. 2017)."""
    # `lambda` is a word of Python's own
    alpha, scale = layer.param.selu_param.alpha, getattr(layer.param.selu_param, 'lambda')
    return (
        lambda x: _aten.elu(x, alpha, scale, 1),
        lambda dy, x: _aten.elu_backward(dy, alpha, scale, 1, False, x),
        'x',
    )


def _log_of_base(layer: Layer, base: float) -> float:
    """ln(base), 1 for the default base −1 which stands for e."""
    if base == -1:
        return 1.0
    if base <= 0:
        layer.error(f'base is {base:g}, expected more than 0, or -1 for e')
    return math.log(base)


def _exp(layer: Layer) -> Rule:
    """y = base^(shift + scale·x)."""
    param = layer.param.exp_param
    log_base = _log_of_base(layer, param.base)
    slope, shift = log_base * param.scale, log_base * param.shift
    return lambda x: torch.exp(slope * x + shift), lambda dy, y: dy * y * slope, 'y'


def _log(layer: Layer) -> Rule:
    """y = log_base(shift + scale·x)."""
    param = layer.param.log_param
    log_base = _log_of_base(layer, param.base)
    if log_base == 0:
        layer.error('base is 1, expected another base')
    scale, shift = param.scale, param.shift
    return (
        lambda x: torch.log(scale * x + shift) / log_base,
        lambda dy, x: dy * (scale / log_base) / (scale * x + shift),
        'x',
    )


def _power(layer: Layer) -> Rule:
    """y = (shift + scale·x)^power."""
    param = layer.param.power_param
    power, scale, shift = param.power, param.scale, param.shift
    if power == 1:
        return lambda x: scale * x + shift, lambda dy, x: dy * scale, 'x'
    if power == 0 or scale == 0:
        return lambda x: (scale * x + shift).pow(power), lambda dy, x: torch.zeros_like(dy), 'x'
    return (
        lambda x: (scale * x + shift).pow(power),
        lambda dy, x: dy * (scale * x + shift).pow(power - 1) * (power * scale),
        'x',
    )


def _threshold(layer: Layer) -> Rule:
    """y = 1 where x > threshold, else 0."""
    threshold = layer.param.threshold_param.threshold

    def backward(dy: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        layer.error('has no gradient, expected it where nothing before it learns')

    return lambda x: (x > threshold).float(), backward, 'x'


def _swish(layer: Layer) -> Rule:
    """y = x·σ(beta·x) (Ramachandran et al. 2017)."""
    beta = layer.param.swish_param.beta
    if beta == 1:
        return torch.nn.functional.silu, _aten.silu_backward, 'x'

    def backward(dy: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(beta * x)
        return dy * (gate + beta * x * gate * (1 - gate))

    return lambda x: x * torch.sigmoid(beta * x), backward, 'x'


def _clip(layer: Layer) -> Rule:
    """y = x limited to [min, max]."""
    if not layer.param.HasField('clip_param'):
        layer.error('has no clip_param, expected clip_param { min: … max: … }')
    low, high = layer.param.clip_param.min, layer.param.clip_param.max
    return lambda x: x.clamp(low, high), lambda dy, x: dy * ((x >= low) & (x <= high)), 'x'


_RULES = {
    'AbsVal': _absval,
    'BNLL': _bnll,
    'Clip': _clip,
    'ELU': _elu,
    'Exp': _exp,
    'Log': _log,
    'Power': _power,
    'SeLu': _selu,
    'Sigmoid': _sigmoid,
    'Swish': _swish,
    'TanH': _tanh,
    'Threshold': _threshold,
}


@register(*(_RULES.keys() - {'AbsVal'}))
class Neuron(Layer):
    """One bottom, one top of the same shape, each value computed from its own input by the rule of the layer's type."""

    bottoms = 1
    tops = 1
    in_place = True
    kept = ('_kept',)
    per_channel = True
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._forward, self._backward, self._saved = _RULES[self.type](self)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].keep() if bottom[0] is top[0] else bottom[0].tensor
        y = self._forward(x)
        self._kept = {'x': x, 'y': y}[self._saved] if self.needs_backward else None
        top[0].tensor = y

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = self._backward(top[0].grad, self._kept)


@register('AbsVal')
class AbsVal(Neuron):
    """y = |x|, which genuine Caffe refuses in place, unlike the others."""

    in_place = False
