"""First-order Taylor expansion: channels whose removal changes the objective least leave.

Source: Molchanov, Tyree, Karras, Aila, Kautz, Pruning Convolutional Neural Networks for Resource Efficient Inference,
ICLR 2017: per picture the absolute mean over positions of activation × gradient, then the mean over pictures.
"""

import numpy as np

from sphereslim.criteria.context import Context, combine, spatial
from sphereslim.criteria.criterion import Criterion


def measure(context: Context) -> np.ndarray:
    """The mean over pictures of |mean over positions of activation × diff| per unit. Keeps running sums."""
    stops = context.stops()
    totals, pictures = [np.zeros(context.group.size) for _ in stops], 0
    for blobs, diffs in context.sampler.gradients([stop for stop, _ in stops]):
        for total, blob, diff, (_, units) in zip(totals, blobs, diffs, stops):
            product = spatial(blob * diff).mean(axis=2, dtype=np.float64)
            total += np.abs(context.per_unit(product, units)).sum(axis=0)
        pictures += len(blobs[0])
    return combine([total / max(pictures, 1) for total in totals])


CRITERION = Criterion(
    'taylor',
    'Molchanov et al., Pruning CNNs for Resource Efficient Inference, ICLR 2017',
    measure,
    needs_gradients=True,
)
