"""Geometric median: filters nearest to the middle of all filters leave, as the others can stand in for them.

Source: He, Liu, Wang, Hu, Yang, Filter Pruning via Geometric Median for Deep Convolutional Neural Networks
Acceleration, CVPR 2019.
"""

import numpy as np
from scipy.spatial.distance import cdist

from sphereslim.criteria.context import Context, combine
from sphereslim.criteria.criterion import Criterion


def measure(context: Context) -> np.ndarray:
    """The sum of Euclidean distances of each unit's filter to all others; no pictures are needed."""
    return combine([cdist(rows, rows).sum(axis=1) for rows in context.filters()])


CRITERION = Criterion(
    'fpgm', 'He et al., Filter Pruning via Geometric Median, CVPR 2019', measure, needs_pictures=False
)
