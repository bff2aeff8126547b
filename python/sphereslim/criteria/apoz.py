"""Average percentage of zeros: channels that are silent most often leave.

Source: Hu, Peng, Tai, Tang, Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep
Architectures, 2016. Behind a PReLU, which has no exact zeros, values below zero count as silent too.
"""

import numpy as np

from sphereslim.criteria.context import Context, combine, spatial
from sphereslim.criteria.criterion import Criterion


def measure(context: Context) -> np.ndarray:
    """The share of activations above zero per unit, over all pictures and positions: 1 − APoZ. Keeps running sums."""
    stops = context.stops()
    active, seen = [np.zeros(context.group.size) for _ in stops], [np.zeros(context.group.size) for _ in stops]
    for blobs in context.sampler.blobs([stop for stop, _ in stops]):
        for i, (blob, (_, units)) in enumerate(zip(blobs, stops)):
            above = spatial(blob) > 0
            active[i] += context.per_unit(above.sum(axis=(0, 2)), units)
            seen[i] += context.per_unit(np.full(above.shape[1], above[:, 0].size), units)
    return combine([a / np.maximum(s, 1) for a, s in zip(active, seen)])


CRITERION = Criterion('apoz', 'Hu et al., Network Trimming, 2016', measure)
