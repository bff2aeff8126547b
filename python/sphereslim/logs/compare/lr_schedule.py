"""Hold the rate that a run printed against the policy that its own header declares."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sphereslim.logs import textformat
from sphereslim.logs.curves import Curve, steps
from sphereslim.logs.run import Run

# relative; glog prints six significant digits: half a unit of the last is at most 5e-6, single precision adds less
TOLERANCE = 1e-5


def expected_rate(solver: textformat.Fields, iteration: float) -> float | None:
    """Learning rate of the solver block at an iteration by Caffe's policies; None for an unknown policy or no block.

    fixed, step base·γ^⌊it/stepsize⌋, exp base·γ^it, inv base·(1+γ·it)^−power, multistep, poly
    base·(1−it/max_iter)^power, sigmoid base/(1+e^(−γ·(it−stepsize))).
    """
    value = {key: textformat.number(solver, key, 0.0) for key in ('base_lr', 'gamma', 'power', 'stepsize', 'max_iter')}
    base, gamma, power, size = value['base_lr'], value['gamma'], value['power'], value['stepsize']
    policies = {
        'fixed': lambda: base,
        'step': lambda: base * gamma ** (iteration // size),
        'exp': lambda: base * gamma**iteration,
        'inv': lambda: base * (1 + gamma * iteration) ** -power,
        'multistep': lambda: base * gamma ** sum(iteration >= step for step in declared_steps(solver)),
        'poly': lambda: base * (1 - iteration / value['max_iter']) ** power,
        'sigmoid': lambda: base / (1 + math.exp(-gamma * (iteration - size))),
    }
    try:
        return float(policies[textformat.one(solver, 'lr_policy')]())
    except (KeyError, ArithmeticError, TypeError):
        return None


def declared_steps(solver: textformat.Fields) -> list[float]:
    """The iterations at which the solver block of a multistep or step policy lowers the rate, in order."""
    policy = textformat.one(solver, 'lr_policy')
    if policy == 'multistep':
        return sorted(float(step) for step in solver.get('stepvalue', []) if _is_number(step))
    size, end = textformat.number(solver, 'stepsize', 0), textformat.number(solver, 'max_iter', 0)
    return list(np.arange(size, end, size)) if policy == 'step' and 0 < size and end / size < 10_000 else []


def check_rate(run: Run) -> dict[str, Any]:
    """Verdict on the rates of one run: {'verdict', 'text', 'declared', 'found'}.

    verdict: 'as declared', 'differs', or 'cannot tell' when the header or the rates are not in the log.
    found: [(last iteration before, first after)] of each change of the rate; `MultiStep Status` lines narrow it.
    """
    rows, values = run.train.series('lr', output=False)
    iteration = run.train.iteration[rows]
    policy = textformat.one(run.solver, 'lr_policy')
    declared = declared_steps(run.solver)
    found = [(low, high) for low, high, _ in steps(Curve('lr', iteration, values))]
    result = {'declared': declared, 'found': found}
    if not len(values):
        return {**result, 'verdict': 'cannot tell', 'text': 'no rate in the log'}
    seen = _seen(iteration, values, found)
    if policy is None:
        return {**result, 'verdict': 'cannot tell', 'text': f'{seen}; the log holds no solver block to check against'}
    rates = [expected_rate(run.solver, int(one)) for one in iteration]
    expected = [rate for rate in rates if rate is not None]
    if len(expected) < len(rates):
        return {**result, 'verdict': 'cannot tell', 'text': f'{seen}; lr_policy "{policy}" is not one of Caffe\'s'}
    wrong = np.flatnonzero(~np.isclose(values, expected, rtol=TOLERANCE, atol=0))
    wrong_steps = [place for place, _ in run.steps if place not in declared]
    if wrong.size or wrong_steps:
        return {**result, 'verdict': 'differs', 'text': _rate_fault(iteration, values, expected, wrong, wrong_steps)}
    return {
        **result,
        'verdict': 'as declared',
        'text': f'{seen}; {policy}{_steps_text(run, declared, iteration)}, '
        f'all {len(values)} rates within {TOLERANCE:g} of the policy',
    }


def _seen(iteration: np.ndarray, values: np.ndarray, found: Sequence[tuple[int, int]]) -> str:
    if len(found) > 6:
        return f'rate {values[0]:g} at {iteration[0]} to {values[-1]:g} at {iteration[-1]}'
    rates = [values[0], *[values[np.searchsorted(iteration, high)] for _, high in found]]
    changes = ''.join(f', {rate:g} from {high}' for rate, (_, high) in zip(rates[1:], found))
    return f'rate {rates[0]:g} at {iteration[0]}{changes}'


def _rate_fault(
    iteration: np.ndarray, values: np.ndarray, expected: Sequence[float], wrong: np.ndarray, wrong_steps: Sequence[int]
) -> str:
    if not wrong.size:
        return f'steps reported at {wrong_steps} are not among the declared ones'
    first = wrong[0]
    return (
        f'{wrong.size} of {len(values)} rates are not those declared, first at {iteration[first]}: '
        f'{values[first]:g}, declared {expected[first]:g}'
    )


def _steps_text(run: Run, declared: Sequence[float], iteration: np.ndarray) -> str:
    if not declared:
        return ''
    passed = [f'{step:g}' for step in declared if iteration[0] < step <= iteration[-1]]
    before = [f'{step:g}' for step in declared if step <= iteration[0] and step > 0]
    later = [f'{step:g}' for step in declared if step > iteration[-1]]
    parts = [(passed, 'found where declared'), (before, 'taken before the log begins'), (later, 'after its end')]
    return ' steps ' + ', '.join(f'{" ".join(places)} {word}' for places, word in parts if places)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True
