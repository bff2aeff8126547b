"""Learning rate policies: the rate at an iteration from the solver's parameters."""

import math

from caffe.errors import CaffeError

_POLICIES = {
    'fixed': lambda p, it, step: p.base_lr,
    'step': lambda p, it, step: p.base_lr * p.gamma**step,
    'exp': lambda p, it, step: p.base_lr * p.gamma**it,
    'inv': lambda p, it, step: p.base_lr * (1 + p.gamma * it) ** -p.power,
    'multistep': lambda p, it, step: p.base_lr * p.gamma**step,
    'poly': lambda p, it, step: p.base_lr * (1 - it / p.max_iter) ** p.power,
    # beyond exp(700), where Python stops, the rate is 0
    'sigmoid': lambda p, it, step: p.base_lr / (1 + math.exp(min(700, -p.gamma * (it - p.stepsize)))),
}


def check_policy(param, origin='solver'):
    """Raise CaffeError, which names the file `origin`, unless the policy exists and has what it needs."""
    if param.lr_policy not in _POLICIES:
        raise CaffeError(f"{origin}: lr_policy '{param.lr_policy}', expected one of {', '.join(sorted(_POLICIES))}")
    if param.lr_policy == 'step' and param.stepsize <= 0:
        raise CaffeError(f'{origin}: lr_policy step: stepsize is {param.stepsize}, expected at least 1')
    if param.lr_policy == 'poly' and param.max_iter <= 0:
        raise CaffeError(f'{origin}: lr_policy poly: max_iter is {param.max_iter}, expected at least 1')


def next_step(param, iteration, step):
    """The number of rate drops behind `iteration`; multistep moves at most one further a call."""
    if param.lr_policy == 'step':
        return iteration // param.stepsize
    if param.lr_policy == 'multistep' and step < len(param.stepvalue) and iteration >= param.stepvalue[step]:
        return step + 1
    return step


def learning_rate(param, iteration, step, origin='solver'):
    """The rate at `iteration` with `step` drops behind it.

    Raises CaffeError, which names the file `origin`, where the formula gives no finite number.
    """
    try:
        rate = _POLICIES[param.lr_policy](param, iteration, step)
    except (OverflowError, ZeroDivisionError):
        rate = math.inf
    if isinstance(rate, complex) or not math.isfinite(rate):
        raise CaffeError(
            f'{origin}: lr_policy {param.lr_policy} gives no learning rate at iteration {iteration}, '
            'expected other base_lr, gamma, power or max_iter'
        )
    return rate
