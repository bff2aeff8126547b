"""Random selection: the control every other criterion is held against."""

import numpy as np

from sphereslim.criteria.context import Context
from sphereslim.criteria.criterion import Criterion


def measure(context: Context) -> np.ndarray:
    """A random order of the units as scores."""
    return context.rng.permutation(context.group.size).astype(float)


CRITERION = Criterion('random', 'random filters, the control of the entropy paper', measure, needs_pictures=False)
