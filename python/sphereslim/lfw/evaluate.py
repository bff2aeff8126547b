"""Accuracy of a deploy net and its weights on a list of pairs."""

from dataclasses import asdict, dataclass

import numpy as np

from sphereslim.lfw.features import extract, open_net
from sphereslim.lfw.pairs import read_pairs
from sphereslim.lfw.protocol import verify


@dataclass(frozen=True)
class Result:
    """`accuracy`: mean over the folds in percent, `error`: its standard error, `folds`: each one's, `pairs`: how many."""

    accuracy: float
    error: float
    folds: tuple
    pairs: int

    def as_dict(self):
        """Plain values for a JSON file."""
        return asdict(self)


def summarise(folds, pairs):
    """The Result of fold accuracies in percent."""
    error = np.std(folds, ddof=1) / np.sqrt(len(folds)) if len(folds) > 1 else 0.0
    return Result(float(np.mean(folds)), float(error), tuple(float(f) for f in folds), int(pairs))


def evaluate(deploy, weights, pairs, folder, **how):
    """The Result of a deploy prototxt with its caffemodel on `pairs` (a pairs.txt) over the pictures in `folder`.

    `how` goes to `extract`: form, feature, mirror, batch, progress.
    """
    listed = read_pairs(pairs, folder)
    features = extract(open_net(deploy, weights), listed.pictures, **how)
    folds, _ = verify(features, listed)
    return summarise(folds, len(listed.same))
