"""The picture of a receiver operating characteristic."""

import numpy as np

from sphereslim.files import whole_file
from sphereslim.report.drawing import panels


def plot_roc(path, far, tar, title):
    """Write a plot of TAR over FAR (logarithmic) to a picture file; the lowest FAR shown is one accepted pair."""
    least = far[far > 0].min() if (far > 0).any() else 1e-3
    figure, axes = panels((6, 4.5))
    axes.step(np.maximum(far, least / 2), tar, where='post')
    axes.set_xscale('log')
    axes.set(
        xlim=(least / 2, 1),
        ylim=(max(0.0, min(tar[far <= least].max() - 0.1, 0.9)), 1.005),
        title=title,
        xlabel='false accept rate',
        ylabel='true accept rate',
    )
    axes.grid(alpha=0.3, which='both')
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)
