"""L2 norm: the shortest filters leave.

Source: the Euclidean variant of Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, as in He, Kang, Dong, Fu,
Yang, Soft Filter Pruning, IJCAI 2018.
"""

import numpy as np

from sphereslim.criteria.context import Context, combine
from sphereslim.criteria.criterion import Criterion


def measure(context: Context) -> np.ndarray:
    """The Euclidean length of the filter weights per unit; no pictures are needed."""
    return combine([np.linalg.norm(rows, axis=1) for rows in context.filters()])


CRITERION = Criterion('l2', 'He et al., Soft Filter Pruning, IJCAI 2018', measure, needs_pictures=False)
