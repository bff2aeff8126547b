"""Receiver operating characteristic of scored pairs: a pair is accepted when its score exceeds a threshold.

TAR is the share of matched pairs accepted, FAR that of mismatched ones, both 0..1.
"""

from pathlib import Path

import numpy as np

from sphereslim.files import whole_file
from sphereslim.report.drawing import panels, write_title


def roc(scores: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(far, tar), each with one value per distinct score and first 0: all thresholds from the highest score down."""
    order = np.argsort(-scores, kind='stable')
    ranked, matched = scores[order], same[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # equal scores are accepted together
    tar = np.cumsum(matched)[last] / max(matched.sum(), 1)
    far = np.cumsum(~matched)[last] / max((~matched).sum(), 1)
    return np.append(0.0, far), np.append(0.0, tar)


def equal_error_rate(far: np.ndarray, tar: np.ndarray) -> float:
    """The rate 0..1 where FAR = 1 - TAR, linear between the two points of the curve next to it."""
    gap = far - (1 - tar)
    k = int(np.argmax(gap >= 0))
    before, after = -gap[k - 1], gap[k]
    share = before / (before + after)
    return float(far[k - 1] + share * (far[k] - far[k - 1]))


def area(far: np.ndarray, tar: np.ndarray) -> float:
    """The area under the curve, 0..1: how likely a matched pair scores above a mismatched one, ties counting half."""
    return float(np.sum(np.diff(far) * (tar[1:] + tar[:-1])) / 2)


def tar_at(far: np.ndarray, tar: np.ndarray, limit: float) -> float:
    """The highest TAR with a FAR of at most `limit`. Below 1 / (mismatched pairs) that is the TAR at FAR 0."""
    return float(tar[far <= limit].max())


def plot_roc(path: str | Path, far: np.ndarray, tar: np.ndarray, title: str) -> None:
    """Write a plot of TAR over FAR (logarithmic) to a picture file; the lowest FAR shown is one accepted pair."""
    least = far[far > 0].min() if (far > 0).any() else 1e-3
    figure, axes = panels((6, 4.5))
    axes.step(np.maximum(far, least / 2), tar, where='post')
    axes.set_xscale('log')
    axes.set(
        xlim=(least / 2, 1),
        ylim=(max(0.0, min(tar[far <= least].max() - 0.1, 0.9)), 1.005),
        xlabel='false accept rate',
        ylabel='true accept rate',
    )
    axes.grid(alpha=0.3, which='both')
    write_title(figure, title)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)
