"""A quantity over the iterations of a training: smoothing, crossing a level, finding steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

PLATEAU = 1e-5  # largest relative change within a plateau: printing loses about as much
ENDS = 5  # a curve's first and last fifth tell where it goes
STANDARD_ERRORS = 3


@dataclass
class Curve:
    """`value` (and `seconds` of training, NaN where unknown) at `iteration`, ascending, float arrays of one length.

    reading_error: how far a value may be off because it was read off a printed figure.
    """

    quantity: str
    iteration: np.ndarray
    value: np.ndarray
    seconds: np.ndarray = field(default_factory=lambda: np.empty(0))
    reading_error: float = 0.0

    def __post_init__(self) -> None:
        self.iteration = np.asarray(self.iteration, float)
        self.value = np.asarray(self.value, float)
        if not len(self.seconds):
            self.seconds = np.full(self.iteration.shape, np.nan)

    def __len__(self) -> int:
        return len(self.iteration)

    def finite(self) -> Curve:
        """The same without NaN and infinite values."""
        keep = np.isfinite(self.value)
        return Curve(self.quantity, self.iteration[keep], self.value[keep], self.seconds[keep], self.reading_error)

    def points(self) -> list[list[float]]:
        """[[iteration, value], …] as plain numbers, for json and drawings."""
        return [[int(iteration), float(value)] for iteration, value in zip(self.iteration, self.value)]

    def spacing(self) -> float:
        """Median distance between points, in iterations."""
        return float(np.median(np.diff(self.iteration))) if len(self) > 1 else 0.0

    def seconds_at(self, iteration: float) -> float | None:
        """Seconds of training at an iteration, None where the log has no times."""
        known = np.isfinite(self.seconds)
        if not known.any():
            return None
        return float(np.interp(iteration, self.iteration[known], self.seconds[known]))


def smooth(
    curve: Curve, at: Sequence[float] | np.ndarray, half_width: float, breaks: Iterable[float] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """(value, standard error) of `curve` at the iterations `at`: a straight line fitted within ±half_width of each.

    A window never reaches over an iteration of `breaks` (where the rate steps and the loss drops). The standard
    error comes from the scatter around the fitted lines and the weights of local linear regression. NaN outside
    the curve and where a window holds no point; never beyond all values seen, as a steep line would be at an end.
    Linear time in points and places.
    """
    curve = curve.finite()
    at = np.asarray(at, float)
    if not len(curve):
        return np.full(at.shape, np.nan), np.full(at.shape, np.nan)
    sums = _Sums(curve.iteration, curve.value, half_width, breaks)
    own, _ = sums.line(curve.iteration)
    scatter = _Sums(curve.iteration, np.abs(curve.value - own), half_width, breaks)
    value, leverage = sums.line(at)
    # Mean absolute deviation of normal noise is sigma * sqrt(2 / pi).
    sigma = scatter.mean(at) * np.sqrt(np.pi / 2)
    return np.clip(value, curve.value.min(), curve.value.max()), sigma * np.sqrt(leverage)


class _Sums:
    """Running sums that give every window's straight line at once."""

    def __init__(self, x: np.ndarray, y: np.ndarray, half_width: float, breaks: Iterable[float]) -> None:
        self.x, self.half_width = x, half_width
        self.origin, self.scale = x[0], max(x[-1] - x[0], 1.0)
        u = (x - self.origin) / self.scale
        self.totals = [np.concatenate([[0.0], np.cumsum(term)]) for term in (np.ones_like(u), u, u * u, y, u * y)]
        self.edges = np.concatenate([[-np.inf], np.sort(np.asarray(list(breaks), float)), [np.inf]])

    def windows(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        segment = np.searchsorted(self.edges, at, side='right') - 1
        low = np.maximum(at - self.half_width, self.edges[segment])
        first = np.searchsorted(self.x, low, side='left')
        last = np.searchsorted(self.x, at + self.half_width, side='right')
        last = np.minimum(last, np.searchsorted(self.x, self.edges[segment + 1], side='left'))
        return first, np.maximum(last, first)

    def line(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, last = self.windows(at)
        n, su, suu, sy, suy = (total[last] - total[first] for total in self.totals)
        with np.errstate(divide='ignore', invalid='ignore'):
            mean_u, mean_y = su / n, sy / n
            spread = suu - n * mean_u**2
            flat = (n < 3) | (spread < 1e-12)
            slope = np.where(flat, 0.0, (suy - n * mean_u * mean_y) / spread)
            off = (at - self.origin) / self.scale - mean_u
            value = mean_y + slope * off
            leverage = 1 / n + np.where(flat, 0.0, off**2 / spread)
        outside = (at < self.x[0]) | (at > self.x[-1])
        return np.where(outside, np.nan, value), leverage

    def mean(self, at: np.ndarray) -> np.ndarray:
        first, last = self.windows(at)
        with np.errstate(divide='ignore', invalid='ignore'):
            return (self.totals[3][last] - self.totals[3][first]) / (self.totals[0][last] - self.totals[0][first])


def steps(curve: Curve) -> list[tuple[int, int, float]]:
    """[(last iteration before, first iteration after, factor)] of every change of a curve made of plateaus."""
    curve = curve.finite()
    before, after = curve.value[:-1], curve.value[1:]
    changed = np.flatnonzero(np.abs(after - before) > PLATEAU * np.maximum(np.abs(before), np.abs(after)))
    return [
        (
            int(curve.iteration[place]),
            int(curve.iteration[place + 1]),
            float(after[place] / before[place]) if before[place] else np.inf,
        )
        for place in changed
    ]


@dataclass(frozen=True)
class Course:
    """Where a curve goes: `word` is rises, falls or stays, `first` and `last` the means of its first and last fifth."""

    word: str
    first: float
    last: float


def end_parts(values: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last of so many equal parts of a curve's values, of one value at least where there is one."""
    length = max(1, len(values) // parts)
    return values[:length], values[-length:]


def course(curve: Curve) -> Course | None:
    """The Course of a curve, None where its fifths hold fewer than two points each.

    It stays where the means of its ends are within STANDARD_ERRORS standard errors of their difference; what a curve
    does within its ends counts as scatter.
    """
    ends = end_parts(curve.finite().value, ENDS)
    length = len(ends[0])
    if length < 2:
        return None
    first, last = (float(end.mean()) for end in ends)
    error = np.sqrt(sum(end.var(ddof=1) for end in ends) / length)
    if abs(last - first) <= STANDARD_ERRORS * error:
        return Course('stays', first, last)
    return Course('rises' if last > first else 'falls', first, last)


def first_reaching(
    curve: Curve, level: float, falling: bool, half_width: float, breaks: Iterable[float] = ()
) -> float | None:
    """The first iteration where the smoothed curve is at `level` or beyond it (below if `falling`), or None."""
    curve = curve.finite()
    value, _ = smooth(curve, curve.iteration, half_width, breaks)
    beyond = value <= level if falling else value >= level
    return float(curve.iteration[np.argmax(beyond)]) if beyond.any() else None
