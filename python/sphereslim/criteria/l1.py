"""L1 norm: filters with the smallest sum of absolute weights leave.

Source: Li, Kadav, Durdanovic, Samet, Graf, Pruning Filters for Efficient ConvNets, ICLR 2017.
"""

import numpy as np

from sphereslim.criteria.context import Context, combine
from sphereslim.criteria.criterion import Criterion


def measure(context: Context) -> np.ndarray:
    """The sum of absolute filter weights per unit; no pictures are needed."""
    return combine([np.abs(rows).sum(axis=1) for rows in context.filters()])


CRITERION = Criterion(
    'l1', 'Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017', measure, needs_pictures=False
)
