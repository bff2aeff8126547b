"""How far the steps of a blob reach, from the values that it takes on pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sphereslim.sampling.sampler import Sampler, Stop

BINS = 2048
PERCENTILE = 99.99  # of the values lie inside of the range of 'percentile'
_LEVELS = 128  # of the absolute values in 'kl'
Range = tuple[float, float]


@dataclass
class Values:
    """What a blob held over all pictures.

    `mean` and `largest` (of the absolute values) are of the blob's shape without the pictures; `counts` are those of
    its values in `BINS` bins from `low` to `high`, which lie on either side of 0.
    """

    low: float
    high: float
    mean: np.ndarray
    largest: np.ndarray
    counts: np.ndarray

    @property
    def centres(self) -> np.ndarray:
        """The values in the middle of the bins."""
        edges = np.linspace(self.low, self.high, BINS + 1)
        return (edges[:-1] + edges[1:]) / 2


def extremes(sampler: Sampler, stops: Sequence[Stop]) -> list[Values]:
    """The Values of blobs over a Sampler's batches, without counts."""
    found: dict[Stop, Values] = {}
    pictures = Counter[Stop]()
    for stop, blob in sampler.one_by_one(stops):
        _extend(found.setdefault(stop, _nothing_of(blob)), blob)
        pictures[stop] += len(blob)
    for stop, values in found.items():
        values.mean /= pictures[stop]
    return [found[stop] for stop in stops]


def measure(sampler: Sampler, stops: Sequence[Stop]) -> list[Values]:
    """As `extremes`, with counts; it runs the batches twice."""
    found = dict(zip(stops, extremes(sampler, stops)))
    for stop, blob in sampler.one_by_one(stops):
        values = found[stop]
        if values.low < values.high:
            values.counts += np.histogram(blob, BINS, (values.low, values.high))[0]
    return [found[stop] for stop in stops]


def _nothing_of(blob: np.ndarray) -> Values:
    return Values(0.0, 0.0, np.zeros(blob.shape[1:]), np.zeros(blob.shape[1:]), np.zeros(BINS))


def _extend(values: Values, blob: np.ndarray) -> None:
    values.low, values.high = min(values.low, float(blob.min())), max(values.high, float(blob.max()))
    values.mean += blob.sum(axis=0, dtype=np.float64)
    values.largest = np.maximum(values.largest, np.abs(blob).max(axis=0))


def chosen_range(values: Values, method: str, steps: int) -> Range:
    """(low, high) by one of `METHODS`; low is −high where `steps` is even, as the value in the middle is 0 then."""
    if values.low == values.high:  # a blob of zeros
        return (-1.0, 1.0)
    if steps % 2 == 0:
        return _symmetric(values, method, steps)
    return METHODS[method](values, steps)


def _symmetric(values: Values, method: str, steps: int) -> Range:
    """The range of a blob mirrored about 0."""
    low, high = METHODS[method](values, steps) if method != 'mse' else _least_error(values, steps, mirrored=True)
    return -max(-low, high), max(-low, high)


def _whole(values: Values, steps: int) -> Range:
    return values.low, values.high


def _percentile(values: Values, steps: int) -> Range:
    """All but the outermost values at either end, half of the rest at each."""
    share = np.cumsum(values.counts) / values.counts.sum()
    tail = (1 - PERCENTILE / 100) / 2
    edges = np.linspace(values.low, values.high, BINS + 1)
    first, last = (int(np.searchsorted(share, part)) for part in (tail, 1 - tail))
    return min(float(edges[first]), 0.0), max(float(edges[min(last + 1, BINS)]), 0.0)


def _least_error(values: Values, steps: int, mirrored: bool = False) -> Range:
    """The range of the least squared error, of those cut at both ends alike and then at either end."""
    low, high = (
        (-max(-values.low, values.high), max(-values.low, values.high)) if mirrored else (values.low, values.high)
    )
    shares = np.linspace(0.3, 1, 71)

    def best(candidates: Iterable[Range]) -> Range:
        return min(candidates, key=lambda span: squared_error(values, span, steps))

    found = best((low * share, high * share) for share in shares)
    if mirrored:
        return found
    found = best((low * share, found[1]) for share in shares)
    return best((found[0], high * share) for share in shares)


def squared_error(values: Values, span: Range, steps: int) -> float:
    """The mean of (y − x)² of a blob's values rounded to so many steps from low to high."""
    low, high = span
    step = max(high - low, 1e-12) / steps
    zero = round(-low / step)
    centres = values.centres
    rounded = np.clip(np.rint(centres / step), -zero, steps - zero) * step
    return float((values.counts * (rounded - centres) ** 2).sum() / values.counts.sum())


def _least_divergence(values: Values, steps: int) -> Range:
    """The threshold of the absolute values of the least Kullback–Leibler divergence (Migacz 2017), at both ends."""
    most = max(-values.low, values.high)
    counts, _ = np.histogram(np.abs(values.centres), BINS, (0, most), weights=values.counts)
    sizes = range(_LEVELS, BINS + 1, _LEVELS // 8)
    size = min(sizes, key=lambda size: _divergence(counts, size))
    threshold = most * size / BINS
    return max(values.low, -threshold), min(values.high, threshold)


def _divergence(counts: np.ndarray, size: int) -> float:
    """That of the first `size` bins, the rest added to the last one, from the same in `_LEVELS` levels."""
    wanted = counts[:size].copy()
    level = np.arange(size) * _LEVELS // size
    filled = wanted > 0
    sums, sizes = (np.bincount(level, weights, _LEVELS) for weights in (wanted, filled.astype(float)))
    given = np.where(filled, (sums / np.maximum(sizes, 1))[level], 0)
    wanted[-1] += counts[size:].sum()
    if not given.sum():
        return np.inf
    p, q = wanted / wanted.sum(), given / given.sum()
    both = (p > 0) & (q > 0)
    missing = p[(p > 0) & (q == 0)].sum()  # in the last bin alone, where nothing but the rest is
    return float((p[both] * np.log(p[both] / q[both])).sum() + missing)


METHODS: dict[str, Callable[[Values, int], Range]] = {
    'minmax': _whole,
    'percentile': _percentile,
    'kl': _least_divergence,
    'mse': _least_error,
}
