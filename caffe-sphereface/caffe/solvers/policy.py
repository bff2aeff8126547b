"""Learning rate policies: the rate at an iteration from the solver's parameters."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

# lr_policy -> the rate by the solver's parameters, the iteration and the number of drops behind it
_POLICIES: dict[str, Callable[[caffe_pb2.SolverParameter, int, int], float]] = {
    'fixed': lambda p, it, step: p.base_lr,
    'step': lambda p, it, step: p.base_lr * p.gamma**step,
    'exp': lambda p, it, step: p.base_lr * p.gamma**it,
    'inv': lambda p, it, step: p.base_lr * (1 + p.gamma * it) ** -p.power,
    'multistep': lambda p, it, step: p.base_lr * p.gamma**step,
    'plateau': lambda p, it, step: p.base_lr * p.gamma**step,
    'multifixed': lambda p, it, step: p.stagelr[min(bisect_left(p.stageiter, it), len(p.stagelr) - 1)],
    'poly': lambda p, it, step: (p.base_lr - p.min_lr) * (1 - it / p.max_iter) ** p.power + p.min_lr,
    # beyond exp(700), where Python stops, the rate is 0
    'sigmoid': lambda p, it, step: p.base_lr / (1 + math.exp(min(700, -p.gamma * (it - p.stepsize)))),
}


def check_policy(param: caffe_pb2.SolverParameter, origin: str | Path = 'solver') -> None:
    """Raise CaffeError, which names the file `origin`, unless the policy exists and has what it needs."""
    if param.lr_policy not in _POLICIES:
        raise CaffeError(f"{origin}: lr_policy '{param.lr_policy}', expected one of {', '.join(sorted(_POLICIES))}")
    if param.lr_policy == 'step' and param.stepsize <= 0:
        raise CaffeError(f'{origin}: lr_policy step: stepsize is {param.stepsize}, expected at least 1')
    if param.lr_policy == 'poly' and param.max_iter <= 0:
        raise CaffeError(f'{origin}: lr_policy poly: max_iter is {param.max_iter}, expected at least 1')
    if param.lr_policy == 'plateau' and not param.plateau_winsize:
        raise CaffeError(f'{origin}: lr_policy plateau: no plateau_winsize, expected one for each drop of the rate')
    if param.lr_policy == 'multifixed':
        _check_stages(param, origin)
    if param.warmup_iter > 0 and param.rampup_interval > 0:
        raise CaffeError(f'{origin}: has warmup_iter and rampup_interval, expected one of them')


def _check_stages(param: caffe_pb2.SolverParameter, origin: str | Path) -> None:
    if not param.stagelr or len(param.stagelr) != len(param.stageiter):
        raise CaffeError(
            f'{origin}: lr_policy multifixed: {len(param.stagelr)} stagelr and {len(param.stageiter)} '
            'stageiter, expected as many of both, at least one'
        )
    if list(param.stageiter) != sorted(param.stageiter):
        raise CaffeError(f'{origin}: lr_policy multifixed: stageiter {list(param.stageiter)}, expected ascending ones')


@dataclass
class Plateau:
    """What lr_policy plateau, SSD's, remembers: the least smoothed loss, and when it or the rate last fell."""

    minimum_loss: float = 1e38
    last_event: int = 0

    def next_step(self, param: caffe_pb2.SolverParameter, iteration: int, step: int, loss: float) -> int:
        """The number of rate drops behind `iteration`: one more after plateau_winsize[step] iterations without a fall.

        `loss` is the smoothed loss of this iteration.
        """
        if loss < self.minimum_loss:
            self.minimum_loss, self.last_event = loss, iteration
        if step < len(param.plateau_winsize) and iteration >= self.last_event + param.plateau_winsize[step]:
            self.last_event = iteration
            return step + 1
        return step


def next_step(param: caffe_pb2.SolverParameter, iteration: int, step: int) -> int:
    """The number of rate drops behind `iteration`; multistep moves at most one further per call."""
    if param.lr_policy == 'step':
        return iteration // param.stepsize
    if param.lr_policy == 'multistep' and step < len(param.stepvalue) and iteration >= param.stepvalue[step]:
        return step + 1
    return step


def is_steady(param: caffe_pb2.SolverParameter, iteration: int) -> bool:
    """Whether the rate at `iteration` stays as it is for many iterations, as a rule."""
    warm = iteration >= max(param.warmup_iter, param.rampup_interval)
    return warm and param.lr_policy in ('fixed', 'step', 'multistep', 'multifixed')


def learning_rate(param: caffe_pb2.SolverParameter, iteration: int, step: int, origin: str | Path = 'solver') -> float:
    """The rate at `iteration` with `step` drops behind it.

    While it warms up, Intel's way (warmup_iter: linear from warmup_start_lr) or NVIDIA's (rampup_interval: quadratic
    from rampup_lr), it leads to base_lr; no rate is below a min_lr that is stated. Raises CaffeError, which names the
    file `origin`, where the formula gives no finite number.
    """
    try:
        rate = (
            _warming_up(param, iteration)
            if iteration < max(param.warmup_iter, param.rampup_interval)
            else _POLICIES[param.lr_policy](param, iteration, step)
        )
    except (OverflowError, ZeroDivisionError):
        rate = math.inf
    if isinstance(rate, complex) or not math.isfinite(rate):
        raise CaffeError(
            f'{origin}: lr_policy {param.lr_policy} gives no learning rate at iteration {iteration}, '
            'expected other base_lr, gamma, power or max_iter'
        )
    return max(rate, param.min_lr) if param.HasField('min_lr') else rate


def _warming_up(param: caffe_pb2.SolverParameter, iteration: int) -> float:
    if iteration < param.warmup_iter:
        share = iteration / param.warmup_iter
        return share * param.base_lr + (1 - share) * param.warmup_start_lr
    return param.rampup_lr + (param.base_lr - param.rampup_lr) * (iteration / param.rampup_interval) ** 2
