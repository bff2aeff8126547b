"""Hold the printed lambda of MarginInnerProduct against max(base·(1+gamma·count)^−power, lambda_min)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.files import read_json
from sphereslim.logs import textformat
from sphereslim.logs.compare.lr_schedule import TOLERANCE
from sphereslim.logs.run import Run

FIELDS = {'base': 1.0, 'gamma': 0.0, 'power': 1.0, 'lambda_min': 0.0, 'iteration': 0.0}


def formula(head: Mapping[str, float], count: Any) -> Any:
    """lambda of a head {base, gamma, power, lambda_min} at the count-th forward, both scalars or arrays."""
    return np.maximum(head['base'] * (1 + head['gamma'] * count) ** -head['power'], head['lambda_min'])


def declared_heads(run: Run) -> dict[str, dict[str, float]]:
    """{lambda's top: parameters} of the MarginInnerProduct layers in the net the log prints."""
    heads: dict[str, dict[str, float]] = {}
    for layer in run.net.get('layer', []):
        if not isinstance(layer, dict) or textformat.one(layer, 'type') != 'MarginInnerProduct':
            continue
        param = textformat.one(layer, 'margin_inner_product_param', {})
        if len(layer.get('top', [])) > 1 and isinstance(param, dict):
            heads[layer['top'][1]] = {key: textformat.number(param, key, value) for key, value in FIELDS.items()}
    return heads


def published_heads(folder: Path) -> dict[str, dict[str, float]]:
    """{name: parameters} of the heads that the SphereFace+ source publishes; {} when the file is not there."""
    path = Path(folder) / 'sphereface_plus.json'
    if not path.is_file():
        return {}
    training = read_json(path)['training']
    return {
        f'the published {name}': {**FIELDS, **one['lambda']}
        for name, one in training.items()
        if isinstance(one, dict) and 'lambda' in one
    }


def check_lambdas(
    run: Run, published: Mapping[str, dict[str, float]]
) -> list[dict[str, dict[str, float] | float | str | None]]:
    """[{'output', 'verdict', 'text', 'counting', 'head', 'error'}] for each lambda that a run prints.

    Where the log does not print the net, the heads of `published` ({name: parameters}) are tried, and the text
    says so. verdict: 'as its formula', 'differs' (the net is there and no counting fits), 'cannot tell'.
    """
    results = []
    heads = declared_heads(run)
    for name, role in run.roles().items():
        rows, values = run.train.series(name)
        if role == 'lambda' and len(values):
            candidates = {'the head in the log': heads[name]} if name in heads else published
            results.append(
                {'output': name, **_check(run, run.train.iteration[rows], values, candidates, name in heads)}
            )
    return results


def countings(run: Run, iteration: np.ndarray) -> dict[str, np.ndarray]:
    """{words: forward counts} of the ways Caffe and its forks count forwards, at displayed iterations, from 1."""
    size, start = run.iter_size, run.start or 0
    ways = {
        'one more each forward, from the start of this run': (iteration - start + 1) * size,
        'one more each forward, on over the resume': (iteration + 1) * size,
        'one more each iteration (not each forward)': iteration - start + 1,
        'shown one forward late': (iteration - start + 1) * size - 1,
        'the first forward of each iteration': (iteration - start) * size + 1,
        'two for each forward': 2 * (iteration - start + 1) * size,
    }
    distinct: dict[str, np.ndarray] = {}
    for words, counts in ways.items():
        if not any(np.array_equal(counts, other) for other in distinct.values()):
            distinct[words] = counts
    return distinct


def _check(
    run: Run, iteration: np.ndarray, values: np.ndarray, candidates: Mapping[str, dict[str, float]], declared: bool
) -> dict[str, Any]:
    trials = [
        (float(np.max(np.abs(formula(head, head['iteration'] + counts) / values - 1))), name, words, head)
        for name, head in candidates.items()
        for words, counts in countings(run, iteration).items()
    ]
    trials = [trial for trial in trials if np.isfinite(trial[0])]
    best = min(trials, key=lambda trial: trial[0], default=None)
    if best and best[0] <= TOLERANCE:
        return _fits(iteration, values, best, declared)
    likely = best[3] if best else None
    if declared:
        why = f'no known counting fits the head in the log, the nearest is off by {best[0] if best else np.inf:.2g}'
    else:
        why = 'the log holds no net, and none of the published heads fits'
    return {
        'verdict': 'differs' if declared else 'cannot tell',
        'counting': None,
        'head': likely if declared else None,
        'error': best[0] if best else None,
        'text': f'{_range(iteration, values)}: {why}{_fitted_counting(iteration, values, likely)}',
    }


def _fits(
    iteration: np.ndarray, values: np.ndarray, best: tuple[float, str, str, dict[str, float]], declared: bool
) -> dict[str, Any]:
    error, name, words, head = best
    if np.all(values == head['lambda_min']):
        verdict = 'as its formula' if declared else 'cannot tell'
        text = f'{_range(iteration, values)}: at the floor lambda_min of {name}, which tells nothing of the counting'
        return {'verdict': verdict, 'text': text, 'counting': None, 'head': head, 'error': error}
    source = name if declared else f'{name} (the log holds no net)'
    form = 'max({base:g}·(1+{gamma:g}·n)^-{power:g}, {lambda_min:g})'.format(**head)
    start = f', n from {head["iteration"]:g}' if head['iteration'] else ''
    return {
        'verdict': 'as its formula',
        'counting': words,
        'head': head,
        'error': error,
        'text': f'{_range(iteration, values)}: {form} of {source}{start}, counting {words}; '
        f'{len(values)} values, largest relative error {error:.1g}, tolerance {TOLERANCE:g}',
    }


def _fitted_counting(iteration: np.ndarray, values: np.ndarray, head: Mapping[str, float] | None) -> str:
    """In words: the straight line gamma·count = a·N + b that the values above the floor follow, if they do."""
    if head is None:
        return ''
    above = values > head['lambda_min'] * (1 + TOLERANCE)
    if above.sum() < 2 or iteration[above][0] == iteration[above][-1]:
        return ''
    product = (values[above] / head['base']) ** (-1 / head['power']) - 1
    slope, offset = np.polyfit(iteration[above], product, 1)
    off = np.max(np.abs(head['base'] * (1 + slope * iteration[above] + offset) ** -head['power'] / values[above] - 1))
    if slope <= 0 or off > 10 * TOLERANCE:
        return ''
    checked = '' if above.sum() > 2 else ' (two values: a fit, not a test)'
    return (
        f'; base {head["base"]:g} and power {head["power"]:g} fit with gamma·count = {slope:.5g}·(N + '
        f'{offset / slope:.0f}){checked}'
    )


def _range(iteration: np.ndarray, values: np.ndarray) -> str:
    return f'{values[0]:g} at {iteration[0]} to {values[-1]:g} at {iteration[-1]}'
