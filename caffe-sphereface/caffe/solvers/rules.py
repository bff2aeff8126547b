"""Update rules: from gradients to the change of the parameters, in place, on lists of tensors.

A rule takes (w, g, h, s): lists of parameters, gradients and history tensors for one group of parameters that share a
rate, and the Settings. It changes `w` and `h` and returns the updates that were subtracted from `w`, which become the
parameters' diffs. `h` holds as many lists as the rule keeps averages, each parallel to `w`. The rate may be a tensor
without axes, which is read on the device alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.optim.sgd import sgd as fused_sgd

from caffe.proto import caffe_pb2

Tensors = list[torch.Tensor]


@dataclass
class Settings:
    """What a rule needs: the solver's parameters, the group's rate r times its `correction`, and its weight decay."""

    param: caffe_pb2.SolverParameter
    rate: float | torch.Tensor
    decay: float


def sgd(w: Tensors, g: Tensors, h: list[Tensors], s: Settings) -> Tensors:
    """h = momentum·h + r·(g + decay·w); w −= h. The rate is inside the history."""
    if not s.param.momentum:  # without momentum torch's kernel takes no history
        torch._foreach_copy_(h[0], torch._foreach_mul(_decayed(w, g, s), s.rate))
        torch._foreach_sub_(w, h[0])
        return h[0]
    # torch's kernel computes buf = momentum·buf + (1−dampening)·(g + decay·w); w −= lr·buf in one pass over memory
    rate, decay = s.rate, s.decay
    if isinstance(rate, torch.Tensor):  # it takes these as numbers alone
        g, rate, decay = torch._foreach_mul(_decayed(w, g, s), rate), 1.0, 0.0
    fused_sgd(
        w,
        g,
        h[0],
        fused=True,
        weight_decay=decay,
        momentum=s.param.momentum,
        lr=1.0,
        dampening=1.0 - rate,
        nesterov=False,
        maximize=False,
    )
    return h[0]


def nesterov(w: Tensors, g: Tensors, h: list[Tensors], s: Settings) -> Tensors:
    """h' = momentum·h + r·g; w −= (1+momentum)·h' − momentum·h, which is momentum·h' + r·g."""
    scaled = torch._foreach_mul(_decayed(w, g, s), s.rate)
    torch._foreach_mul_(h[0], s.param.momentum)
    torch._foreach_add_(h[0], scaled)
    return _subtract(w, torch._foreach_add(scaled, h[0], alpha=s.param.momentum))


def adagrad(w: Tensors, g: Tensors, h: list[Tensors], s: Settings) -> Tensors:
    """h += g²; w −= r·g/(√h + delta)."""
    g = _decayed(w, g, s)
    torch._foreach_addcmul_(h[0], g, g)
    return _subtract(w, _over_root(g, h[0], s.rate, s.param.delta))


def rmsprop(w: Tensors, g: Tensors, h: list[Tensors], s: Settings) -> Tensors:
    """h = rms_decay·h + (1−rms_decay)·g²; w −= r·g/(√h + delta)."""
    g = _decayed(w, g, s)
    _average_square(h[0], g, s.param.rms_decay)
    return _subtract(w, _over_root(g, h[0], s.rate, s.param.delta))


def adadelta(w: Tensors, g: Tensors, h: list[Tensors], s: Settings) -> Tensors:
    """Two averages with `momentum`: of g² and of the unscaled update u = g·√((h₂+delta)/(h₁+delta)); w −= r·u."""
    g = _decayed(w, g, s)
    squares, changes = h
    _average_square(squares, g, s.param.momentum)
    ratio = torch._foreach_div(torch._foreach_add(changes, s.param.delta), torch._foreach_add(squares, s.param.delta))
    update = torch._foreach_mul(g, torch._foreach_sqrt(ratio))
    _average_square(changes, update, s.param.momentum)
    return _subtract(w, torch._foreach_mul(update, s.rate))


def adam(w: Tensors, g: Tensors, h: list[Tensors], s: Settings) -> Tensors:
    """m, v; w −= r·m/(√v + delta), r being corrected (Kingma & Ba 2015, with delta outside)."""
    g = _decayed(w, g, s)
    beta1, beta2 = s.param.momentum, s.param.momentum2
    m, v = h
    torch._foreach_lerp_(m, g, 1 - beta1)
    _average_square(v, g, beta2)
    return _subtract(w, _over_root(m, v, s.rate, s.param.delta))


def correction(param: caffe_pb2.SolverParameter, iteration: int) -> float:
    """What a rule multiplies rates with: √(1−β₂^t)/(1−β₁^t), t = iteration + 1, for Adam, which starts from zeros."""
    if param.type != 'Adam':
        return 1.0
    t = iteration + 1
    return (1 - param.momentum2**t) ** 0.5 / (1 - param.momentum**t)


def _decayed(w: Tensors, g: Tensors, s: Settings) -> Tensors:
    return torch._foreach_add(g, w, alpha=s.decay) if s.decay else list(g)


def _average_square(h: Tensors, g: Tensors, keep: float) -> None:
    torch._foreach_mul_(h, keep)
    torch._foreach_addcmul_(h, g, g, value=1 - keep)


def _over_root(g: Tensors, h: Tensors, rate: float | torch.Tensor, delta: float) -> Tensors:
    root = torch._foreach_sqrt(h)
    torch._foreach_add_(root, delta)
    scaled = torch._foreach_mul(g, rate)
    torch._foreach_div_(scaled, root)
    return scaled


def _subtract(w: Tensors, update: Tensors) -> Tensors:
    torch._foreach_sub_(w, update)
    return update


Rule = Callable[[Tensors, Tensors, list[Tensors], Settings], Tensors]
# solver type -> (rule, how many averages it keeps for every parameter)
RULES: dict[str, tuple[Rule, int]] = {
    'SGD': (sgd, 1),
    'Nesterov': (nesterov, 1),
    'AdaGrad': (adagrad, 1),
    'RMSProp': (rmsprop, 1),
    'AdaDelta': (adadelta, 2),
    'Adam': (adam, 2),
}
