"""Judge a published curve against ours: differences at checkpoints, a verdict with its tolerance, times to a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sphereslim.logs.curves import STANDARD_ERRORS, Curve, course, first_reaching, smooth

IDENTICAL, MATCHES, DIFFERS, CANNOT_TELL = 'identical', 'matches', 'differs', 'cannot tell'
FEW_POINTS = 8
ENOUGH = 0.9

Verdict = dict[str, Any]  # see `compare`


@dataclass
class Tolerance:
    """Allowed difference: `relative` to the published value plus `absolute`. exact: printed values, not smoothed."""

    relative: float = 0.0
    absolute: float = 0.0
    exact: bool = False


def tolerance_of(quantity: str, relative: float) -> Tolerance:
    """Tolerance for a quantity; `relative` is the share allowed for losses and distances."""
    if quantity == 'lr' or quantity.startswith('lambda'):
        return Tolerance(relative=1e-4, exact=True)
    if 'accuracy' in quantity:
        return Tolerance(absolute=0.02)
    return Tolerance(relative=relative)


def compare(
    published: Curve, ours: Curve, breaks: Sequence[float], relative: float = 0.05, checkpoints: int = 12
) -> Verdict:
    """Verdict on two Curves of one quantity over the iterations that both have.

    breaks: iterations where the rate steps. Returns a dict: quantity, verdict, text, tolerance (words), overlap
    (first, last iteration), half_width of the smoothing in iterations, checkpoints [{iteration, published, ours,
    difference, allowed}], courses ({'published', 'ours'}: the fields of curves.Course, each over all its iterations;
    None where they cannot be told, and for printed values).
    """
    allowed = tolerance_of(published.quantity, relative)
    bad = _bad_values(published, ours)
    published, ours = published.finite(), ours.finite()
    result: Verdict = {
        'quantity': published.quantity,
        'overlap': None,
        'half_width': 0.0,
        'tolerance': '',
        'checkpoints': [],
        'courses': None if allowed.exact else _courses(published, ours),
    }
    if not len(published) or not len(ours):
        return {**result, 'verdict': CANNOT_TELL, 'text': '; '.join(['no values', *bad])}
    low = max(published.iteration[0], ours.iteration[0])
    high = min(published.iteration[-1], ours.iteration[-1])
    if low > high:
        return {
            **result,
            'verdict': CANNOT_TELL,
            'text': '; '.join([f'no common iterations: published {_span(published)}, ours {_span(ours)}', *bad]),
        }
    result.update(overlap=(low, high))
    if allowed.exact:
        result.update(_exact(published, ours, low, high, allowed, checkpoints))
    else:
        result.update(_smoothed(published, ours, low, high, allowed, breaks, checkpoints))
    if _same(published, ours):
        result.update(verdict=IDENTICAL, text=f'all {len(ours)} values are the same')
    if bad:
        result['text'] += '; ' + '; '.join(bad)
        result['verdict'] = DIFFERS if len(bad) == 1 else result['verdict']
    return result


def smoothing_width(published: Curve, ours: Curve) -> float:
    """Half the smoothing window in iterations, 0 for too few points: 2 % of what both cover; for sparse curves up to
    6 %, so that noise averages out over some 25 points; never less than five points."""
    low = max(published.iteration[0], ours.iteration[0])
    high = min(published.iteration[-1], ours.iteration[-1])
    if min(_within(published, low, high), _within(ours, low, high)) < FEW_POINTS:
        return 0.0
    spacing = max(published.spacing(), ours.spacing())
    return max(0.02 * (high - low), min(12 * spacing, 0.06 * (high - low)), 2.5 * spacing)


def times_to_reach(
    published: Curve, ours: Curve, breaks: Sequence[float], levels: Sequence[float] = ()
) -> list[dict[str, Any]]:
    """[{level, published: {iteration, seconds}, ours: ...}]: where the smoothed curves are first at a level or beyond.

    Beyond is the side the published curve goes to; None where a curve never gets there. Without `levels`, those
    at a quarter, half, three quarters and nine tenths of the published change.
    """
    published, ours = published.finite(), ours.finite()
    if min(len(published), len(ours)) < FEW_POINTS:
        return []
    widths = [
        max(0.02 * (curve.iteration[-1] - curve.iteration[0]), 2.5 * curve.spacing()) for curve in (published, ours)
    ]
    value, _ = smooth(published, published.iteration, widths[0], breaks)
    first, last = value[0], value[-1]
    levels = levels or [float(f'{first + share * (last - first):.3g}') for share in (0.25, 0.5, 0.75, 0.9)]
    return [
        {
            'level': level,
            **{
                whose: _reach(curve, level, first >= last, width, breaks)
                for whose, curve, width in (('published', published, widths[0]), ('ours', ours, widths[1]))
            },
        }
        for level in dict.fromkeys(levels)
    ]


def _courses(published: Curve, ours: Curve) -> dict[str, dict[str, Any]] | None:
    theirs, mine = course(published), course(ours)
    return {'published': asdict(theirs), 'ours': asdict(mine)} if theirs and mine else None


def _reach(curve: Curve, level: float, falling: bool, width: float, breaks: Sequence[float]) -> dict[str, Any] | None:
    iteration = first_reaching(curve, level, falling, width, breaks)
    return None if iteration is None else {'iteration': iteration, 'seconds': curve.seconds_at(iteration)}


def _smoothed(
    published: Curve,
    ours: Curve,
    low: float,
    high: float,
    allowed: Tolerance,
    breaks: Sequence[float],
    checkpoints: int,
) -> Verdict:
    width = smoothing_width(published, ours)
    at = np.unique(np.round(np.linspace(low, high, checkpoints))) if width else _common(published, ours, low, high)
    if width:
        (theirs, their_error), (mine, my_error) = (smooth(curve, at, width, breaks) for curve in (published, ours))
        noise = STANDARD_ERRORS * np.hypot(their_error, my_error)
        words = f' + {STANDARD_ERRORS} standard errors of the smoothed curves (±{width:g} iterations)'
    else:
        theirs, mine = (np.interp(at, curve.iteration, curve.value) for curve in (published, ours))
        noise, words = np.zeros(at.shape), ', too few points to smooth'
    reading = published.reading_error + ours.reading_error
    own = allowed.relative * np.abs(theirs) + allowed.absolute + reading
    judged = _judge(at, theirs, mine, own, noise)
    if judged['verdict'] == MATCHES and _too_noisy(theirs, own, noise):
        judged.update(verdict=CANNOT_TELL, text=f'the noise hides any difference; {judged["text"]}')
    parts = [
        part
        for amount, part in (
            (allowed.relative, f'{100 * allowed.relative:g} %'),
            (allowed.absolute, f'{allowed.absolute:g}'),
            (reading, f'{reading:g} for reading a figure'),
        )
        if amount
    ]
    return {'half_width': width, 'tolerance': ' + '.join(parts) + words, **judged}


def _too_noisy(theirs: np.ndarray, own: np.ndarray, noise: np.ndarray) -> bool:
    """Whether the standard errors outweigh the tolerance and are large beside what the curve does at all."""
    keep = np.isfinite(theirs) & np.isfinite(noise)
    if not keep.any():
        return False
    typical = np.median(noise[keep])
    return typical > 2 * np.median(own[keep]) and typical > 0.25 * np.ptp(theirs[keep])


def _exact(published: Curve, ours: Curve, low: float, high: float, allowed: Tolerance, checkpoints: int) -> Verdict:
    """Printed values side by side; where the iterations differ ours must lie between the published ones around it."""
    inside = (ours.iteration >= low) & (ours.iteration <= high)
    at, mine = ours.iteration[inside], ours.value[inside]
    if not at.size:
        return {'verdict': CANNOT_TELL, 'text': 'no value of ours among the published iterations', 'checkpoints': []}
    before = published.value[np.searchsorted(published.iteration, at, side='right') - 1]
    after = published.value[np.minimum(np.searchsorted(published.iteration, at, side='left'), len(published) - 1)]
    nearest = np.clip(mine, np.minimum(before, after), np.maximum(before, after))
    judged = _judge(at, nearest, mine, allowed.relative * np.abs(nearest), np.zeros(at.shape))
    chosen = np.unique(np.linspace(0, at.size - 1, checkpoints).astype(int))
    return {
        **judged,
        'tolerance': f'{100 * allowed.relative:g} % of the printed value, not smoothed',
        'checkpoints': [judged['checkpoints'][place] for place in chosen],
    }


def _judge(at: np.ndarray, theirs: np.ndarray, mine: np.ndarray, own: np.ndarray, noise: np.ndarray) -> Verdict:
    """Matches: nine tenths of the points within own + noise, none twice as far off, and so the mean difference,
    whose noise is smaller by the root of the number of points."""
    keep = np.isfinite(theirs) & np.isfinite(mine) & np.isfinite(own + noise)
    at, theirs, mine, own, noise = (values[keep] for values in (at, theirs, mine, own, noise))
    if not at.size:
        return {'verdict': CANNOT_TELL, 'text': 'no common points', 'checkpoints': []}
    difference, limit = mine - theirs, own + noise
    inside = np.abs(difference) <= limit
    level = abs(difference.mean()) <= own.mean() + noise.mean() / np.sqrt(at.size)
    matches = inside.mean() >= ENOUGH and np.all(np.abs(difference) <= 2 * limit) and level
    largest = np.argmax(np.abs(difference))
    text = (
        f'{inside.sum()} of {at.size} checkpoints within tolerance; ours is {difference.mean():+.4g} on average, '
        f'{difference[largest]:+.4g} at most (iteration {at[largest]:g})'
    )
    points = [
        {'iteration': float(a), 'published': float(b), 'ours': float(c), 'difference': float(d), 'allowed': float(e)}
        for a, b, c, d, e in zip(at, theirs, mine, difference, limit)
    ]
    return {'verdict': MATCHES if matches else DIFFERS, 'text': text, 'checkpoints': points}


def _common(published: Curve, ours: Curve, low: float, high: float) -> np.ndarray:
    every = np.union1d(published.iteration, ours.iteration)
    return every[(every >= low) & (every <= high)]


def _within(curve: Curve, low: float, high: float) -> int:
    return int(((curve.iteration >= low) & (curve.iteration <= high)).sum())


def _same(one: Curve, other: Curve) -> bool:
    return np.array_equal(one.iteration, other.iteration) and np.array_equal(one.value, other.value)


def _bad_values(published: Curve, ours: Curve) -> list[str]:
    """What is to be said of values that are not numbers."""
    return [
        f'{_bad(curve)} values that are not numbers in {whose}'
        for curve, whose in ((published, 'the published log'), (ours, 'ours'))
        if _bad(curve)
    ]


def _bad(curve: Curve) -> int:
    return int((~np.isfinite(curve.value)).sum())


def _span(curve: Curve) -> str:
    return f'{curve.iteration[0]:g} to {curve.iteration[-1]:g}'
