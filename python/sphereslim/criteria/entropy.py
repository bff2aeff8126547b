"""Entropy of pooled activations: channels whose mean says least about the picture leave.

Source: Deep Face Model Compression Using Entropy-based Filter Selection. Every channel of every picture is pooled to
its mean, which gives a matrix M (pictures × channels); H_j = −Σ p log p over the histogram of column j.
"""

import numpy as np

from sphereslim.criteria.context import Context, combine, spatial
from sphereslim.criteria.criterion import Criterion
from sphereslim.errors import SlimError
from sphereslim.sampling.least_squares import Reservoir


def measure(context: Context, bins: int, pictures: int) -> np.ndarray:
    """The entropy in nats of each unit.

    The histogram has `bins` equal bins between the column's smallest and largest value. M holds at most `pictures`
    rows: of a longer stream a uniform sample.
    """
    if bins < 2:
        raise SlimError(f'bins {bins}: expected at least 2 bins in the histogram')
    stops = context.stops()
    matrices = [Reservoir(pictures, context.rng) for _ in stops]
    for blobs in context.sampler.blobs([stop for stop, _ in stops]):
        for matrix, blob, (_, units) in zip(matrices, blobs, stops):
            matrix.add(context.per_unit(spatial(blob).mean(axis=2, dtype=np.float64), units))
    return combine([column_entropies(matrix.rows(), bins) for matrix in matrices])


def column_entropies(matrix: np.ndarray, bins: int) -> np.ndarray:
    """−Σ p log p over a histogram of `bins` bins of each column of a matrix (pictures × channels)."""
    return np.array([_entropy(np.histogram(column, bins)[0]) for column in matrix.T])


def _entropy(counts: np.ndarray) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


CRITERION = Criterion(
    'entropy',
    'Deep Face Model Compression Using Entropy-based Filter Selection',
    measure,
    options={'bins': 32, 'pictures': 8192},
)
