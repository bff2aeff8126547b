"""Random selection: the control every other criterion is held against."""

from sphereslim.criteria.criterion import Criterion


def measure(context):
    """A random order of the units as scores."""
    return context.rng.permutation(context.group.size).astype(float)


CRITERION = Criterion('random', 'random filters, the control of the entropy paper', measure, needs_pictures=False)
