"""Greedy pair selection: remove channels two by two, each pair the one that cancels best.

Source: Sphereface-Prune. A channel's number x is the sum of its finished activations over a batch and all positions;
while more than the kept share remain, the pair with the smallest |x + y| leaves.
"""

import numpy as np

from sphereslim.criteria.context import Context, combine, spatial
from sphereslim.criteria.criterion import Criterion

_PAIRS_AT_A_TIME = 8  # per remaining channel: enough for most to find a partner, few enough to sort quickly


def measure(context: Context) -> np.ndarray:
    """One number per unit: the sum over all pictures and positions. Streams; keeps only running sums."""
    stops = context.stops()
    totals = [np.zeros(context.group.size) for _ in stops]
    for blobs in context.sampler.blobs([stop for stop, _ in stops]):
        for total, blob, (_, units) in zip(totals, blobs, stops):
            total += context.per_unit(spatial(blob).sum(axis=(0, 2), dtype=np.float64), units)
    return combine(totals)


def choose(sums: np.ndarray, keep: int) -> tuple[np.ndarray, np.ndarray]:
    """The `keep` indices that stay, ascending, and the sums as scores.

    Of equally good pairs (i, j), i < j, the first in the order of i, then j, leaves. Where an odd number has to go, the
    last to leave is the channel nearest zero.
    """
    sums = np.asarray(sums, np.float64)
    alive = np.ones(len(sums), bool)
    while alive.sum() - keep > 1:
        _remove_pairs(sums, alive, keep)
    if alive.sum() > keep:
        left = np.flatnonzero(alive)
        alive[left[np.argmin(np.abs(sums[left]))]] = False
    return np.flatnonzero(alive), sums


def _remove_pairs(sums: np.ndarray, alive: np.ndarray, keep: int) -> None:
    """Remove pairs in their order as far as the best few of all pairs reach: the same as searching anew each time."""
    left = np.flatnonzero(alive)
    first, second = np.triu_indices(len(left), 1)
    cost = np.abs(sums[left[first]] + sums[left[second]])
    few = min(_PAIRS_AT_A_TIME * len(left), len(cost)) - 1
    best = np.flatnonzero(cost <= np.partition(cost, few)[few])
    best = best[np.argsort(cost[best], kind='stable')]
    excess = len(left) - keep
    for i, j in zip(left[first[best]].tolist(), left[second[best]].tolist()):
        if alive[i] and alive[j]:
            alive[i] = alive[j] = False
            excess -= 2
            if excess < 2:
                return


CRITERION = Criterion(
    'greedy_pair', 'Sphereface-Prune: pairs of channels with the smallest |x + y|', measure, choose, pairs=True
)
