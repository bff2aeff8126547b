"""Which default boxes stand for which true boxes when a detector learns, and which stand for the background."""

from dataclasses import dataclass

import numpy as np

from caffe.data.boxes import overlaps

IGNORED = -2  # in place of a true box: the default box stands for nothing, not for the background either
_LEAST_OVERLAP = 1e-6


@dataclass
class Matches:
    """Of P default boxes of an image: `truth` (P) the true box's index, −1 or IGNORED, `best` (P) the best overlap."""

    truth: np.ndarray
    best: np.ndarray


def match(truths: np.ndarray, priors: np.ndarray, threshold: float | None, ignore_outside: bool = False) -> Matches:
    """Give each true box (G, 4) its best default box of (P, 4): the largest overlap of all, and so on with the rest.

    With a `threshold` every other default box takes its best true box, if they overlap by that at least. With
    `ignore_outside` those that reach beyond the picture are left aside.
    """
    overlap = overlaps(priors, truths)
    overlap[overlap <= _LEAST_OVERLAP] = 0
    truth = np.full(len(priors), -1)
    if ignore_outside:
        outside = is_outside(priors).any(1)
        truth[outside], overlap[outside] = IGNORED, 0
    free = overlap.copy()
    for _ in range(len(truths)):
        prior, box = np.unravel_index(free.argmax(), free.shape)
        if free[prior, box] <= 0:
            break
        truth[prior] = box
        free[prior], free[:, box] = 0, 0
    best = overlap.max(1, initial=0)
    if threshold is not None and len(truths):
        takes = (truth == -1) & (best >= max(threshold, _LEAST_OVERLAP)) & (best > 0)
        truth[takes] = overlap.argmax(1)[takes]
    return Matches(truth, best)


def is_outside(boxes: np.ndarray) -> np.ndarray:
    """Whether each number (…, 4) of boxes lies beyond the picture."""
    return (boxes < 0) | (boxes > 1)


def negatives(matches: Matches, losses: np.ndarray, ratio: float, most_overlap: float) -> np.ndarray:
    """Indices of the unmatched default boxes that overlap less than `most_overlap`, of largest losses (P) first.

    At most `ratio` for each matched one.
    """
    eligible = np.flatnonzero((matches.truth == -1) & (matches.best < most_overlap))
    count = min(int((matches.truth >= 0).sum() * ratio), len(eligible))
    return np.sort(eligible[np.argsort(-losses[eligible], kind='stable')][:count])
