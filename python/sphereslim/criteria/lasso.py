"""LASSO channel pruning: a factor per channel, drawn to zero until only the wanted number is left.

Source: He, Zhang, Sun, Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017: minimise
½ Σ (y − Σ β_c z_c)² + λ |β|₁ with y and z as in `contributions`, λ raised until no more than `keep` factors remain.
Reconstruction of the readers by least squares is a step of its own.
"""

from collections.abc import Mapping

import numpy as np

from sphereslim.criteria.context import Context
from sphereslim.criteria.contributions import contributions, total
from sphereslim.criteria.criterion import Criterion

_HALVINGS = 30  # of the interval in which λ is sought
_SWEEPS = 200  # of coordinate descent per λ at most
_TOLERANCE = 1e-6  # largest change of a factor at which descent ends


def measure(context: Context, places: int) -> dict[str, np.ndarray]:
    """{reader: Gram matrix of the channels' contributions}, from `places` random outputs per picture and reader."""
    return contributions(context, places)


def choose(grams: Mapping[str, np.ndarray], keep: int) -> tuple[np.ndarray, np.ndarray]:
    """The `keep` units that stay, ascending, and |β_c| as scores; where λ cannot part ties, larger z_c stay."""
    gram = total(grams)
    beta = _path(gram, keep)
    order = np.lexsort((np.arange(len(beta)), -np.diag(gram), -np.abs(beta)))
    return np.sort(order[:keep]), np.abs(beta)


def _path(gram: np.ndarray, keep: int) -> np.ndarray:
    """The factors at the largest λ that leaves at least `keep` of them."""
    target = gram.sum(axis=1)
    low, high = 0.0, float(np.abs(target).max())
    beta = best = shrink(gram, target, low, (np.diag(gram) > 0).astype(float))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        beta = shrink(gram, target, middle, beta)
        count = np.count_nonzero(beta)
        if count < keep:
            high = middle
        else:
            low, best = middle, beta
        if count == keep:
            break
    return best


def shrink(gram: np.ndarray, target: np.ndarray, penalty: float, start: np.ndarray) -> np.ndarray:
    """argmin over β of ½ βᵀGβ − targetᵀβ + penalty·|β|₁ by coordinate descent from `start`."""
    beta, residual = start.copy(), target - gram @ start
    diagonal = np.diag(gram)
    for _ in range(_SWEEPS):
        change = 0.0
        for c in np.flatnonzero((beta != 0) | (np.abs(residual) > penalty)):
            if diagonal[c] > 0:
                step = _soft(residual[c] + diagonal[c] * beta[c], penalty) / diagonal[c] - beta[c]
                if step:
                    beta[c] += step
                    residual -= gram[c] * step
                    change = max(change, abs(step))
        if change < _TOLERANCE:
            break
    return beta


def _soft(value: float, penalty: float) -> float:
    return np.sign(value) * max(abs(value) - penalty, 0.0)


CRITERION = Criterion(
    'lasso',
    'He et al., Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017',
    measure,
    choose,
    options={'places': 10},
)
