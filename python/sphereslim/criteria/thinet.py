"""ThiNet: channels leave whose joint part in the sampled outputs of the next layer is smallest.

Source: Luo, Wu, Lin, ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression, ICCV 2017. Greedily the
channel joins the removed set T that least raises Σ (Σ_{c in T} z_c)², with z as in `contributions`. Refitting the
readers by least squares, of which the source's factor per kept channel is the simplest form, is a step of its own.
"""

from collections.abc import Mapping

import numpy as np

from sphereslim.criteria.context import Context
from sphereslim.criteria.contributions import contributions, total
from sphereslim.criteria.criterion import Criterion


def measure(context: Context, places: int) -> dict[str, np.ndarray]:
    """{reader: Gram matrix of the channels' contributions}, from `places` random outputs per picture and reader."""
    return contributions(context, places)


def choose(grams: Mapping[str, np.ndarray], keep: int) -> tuple[np.ndarray, np.ndarray]:
    """The `keep` units that stay, ascending, and as scores the step at which each would leave."""
    gram = total(grams)
    size = len(gram)
    order, inside, cost = np.zeros(size), np.zeros(size), np.diag(gram).copy()
    left = np.ones(size, bool)
    for step in range(size):
        out = int(np.argmin(np.where(left, cost + 2 * inside, np.inf)))
        left[out], order[out] = False, step
        inside += gram[:, out]
    return np.flatnonzero(order >= size - keep), order


CRITERION = Criterion('thinet', 'Luo et al., ThiNet, ICCV 2017', measure, choose, options={'places': 10})
