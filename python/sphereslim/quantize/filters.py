"""linear-filter: symmetric linear levels with a scale of its own for every filter.

Q(x) = s_f * clip(round(x / s_f), -n, n), n = 2^(bits-1) - 1. The scale s_f is r * max|x_f| / n for the r of CLIPS that
leaves the least squared error. Levels are whole numbers, so one dictionary serves all blobs of equal bits.
"""

import numpy as np

CLIPS = np.linspace(1, 0.5, 21)


def filter_levels(bits):
    """The float32 levels -n .. n of 2 bits or more."""
    n = _largest(bits)
    return np.arange(-n, n + 1).astype(np.float32)


def filter_codes(weights, bits):
    """(positions in `filter_levels`, flat; float32 scale of each filter, that is slice of axis 0) of an array.

    A vector is one filter.
    """
    rows = _rows(weights)
    n = _largest(bits)
    peak = np.abs(rows).max(axis=1, keepdims=True)
    scale = np.zeros_like(peak)
    least = np.full_like(peak, np.inf)
    for clip in CLIPS:
        tried = (clip * peak / n).astype(np.float32).astype(np.float64)
        error = ((tried * _rounded(rows, tried, n) - rows) ** 2).sum(axis=1, keepdims=True)
        scale, least = np.where(error < least, tried, scale), np.minimum(error, least)
    codes = (_rounded(rows, scale, n) + n).astype(np.int32)
    return codes.reshape(-1), scale.reshape(-1).astype(np.float32)


def _largest(bits):
    return 2 ** (bits - 1) - 1


def _rows(weights):
    single = sum(extent > 1 for extent in weights.shape) <= 1
    return weights.reshape(1 if single else len(weights), -1).astype(np.float64)


def _rounded(rows, scale, n):
    return np.clip(np.round(rows / np.where(scale > 0, scale, 1)), -n, n)
