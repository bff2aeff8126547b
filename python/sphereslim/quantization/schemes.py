"""The quantizers: how weights become levels.

A scheme turns weights x into codes, positions in an ascending table of signed float32 levels, so that
Q(x) = table[codes]. Everything is computed in float64 and rounded once, to the float32 of the table.

log (published with the 1.13 MB CelebA model): f = log|x|, s = sign(x), q = (fmax - fmin) / 2^b,
Q'(f) = floor((f - fmin) / q) * q + fmin, Q(x) = s * exp(Q'(f)); zero stays zero. Magnitudes take the levels
0 .. 2^b, the last one by the largest weights alone. Published sizes are bits * weights / 8, so the sign is one
of the bits: `log` with `bits` bits has b = bits - 1. `log+sign` has b = bits and its sign costs one bit more.

linear: min-max with rounding to the nearest of 2^bits levels, Q(x) = round((x - min) / q) * q + min,
q = (max - min) / (2^bits - 1).

linear-filter: symmetric linear levels with a scale of its own for every filter,
Q(x) = s_f * clip(round(x / s_f), -n, n), n = 2^(bits-1) - 1. The scale s_f is r * max|x_f| / n for the r of CLIPS that
leaves the least squared error. Levels are whole numbers, so one dictionary serves all blobs of equal bits.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

NO_SPAN = (np.inf, -np.inf)
CLIPS = np.linspace(1, 0.5, 21)
SMALLEST_HALF, LARGEST_HALF = float(np.finfo(np.float16).tiny), float(np.finfo(np.float16).max)


Span = tuple[float, float]  # the lowest and the highest


class Scheme(NamedTuple):
    """`span(x)` -> (low, high); `table(span, bits)` -> float32 levels; `codes(x, span, bits)` -> int32 positions;
    `index_bits(bits)` -> bits stored per weight."""

    span: Callable[[np.ndarray], Span]
    table: Callable[[Span, int], np.ndarray]
    codes: Callable[[np.ndarray, Span, int], np.ndarray]
    index_bits: Callable[[int], int]


def merge_spans(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The span of several blobs together; (0, 0) when none has any."""
    low, high = (min(low for low, _ in spans), max(high for _, high in spans)) if spans else NO_SPAN
    return (low, high) if low <= high else (0.0, 0.0)


def log_span(x: np.ndarray) -> tuple[float, float]:
    """(fmin, fmax) of log|x| over the weights that are not zero."""
    magnitudes = np.abs(x[x != 0]).astype(np.float64)
    return (float(np.log(magnitudes.min())), float(np.log(magnitudes.max()))) if magnitudes.size else NO_SPAN


def log_table(span: tuple[float, float], b: int) -> np.ndarray:
    """-exp(Q') descending in magnitude, 0, exp(Q') ascending: 2 * (2^b + 1) + 1 levels."""
    low, high = span
    magnitudes = np.exp(np.arange(2**b + 1) * ((high - low) / 2**b) + low)
    return np.concatenate([-magnitudes[::-1], [0.0], magnitudes]).astype(np.float32)


def log_codes(x: np.ndarray, span: tuple[float, float], b: int) -> np.ndarray:
    """Positions in `log_table`."""
    low, high = span
    step = (high - low) / 2**b
    magnitudes = np.abs(x.astype(np.float64))
    magnitudes[magnitudes == 0] = np.exp(low)
    levels = np.floor((np.log(magnitudes) - low) / step) if step else np.zeros(x.shape)
    levels = np.clip(levels, 0, 2**b).astype(np.int32)
    return 2**b + 1 + np.sign(x).astype(np.int32) * (levels + 1)


def linear_span(x: np.ndarray) -> tuple[float, float]:
    """(min, max) of the weights."""
    return (float(x.min()), float(x.max())) if x.size else NO_SPAN


def linear_table(span: tuple[float, float], bits: int) -> np.ndarray:
    """2^bits levels from min to max."""
    low, high = span
    return (np.arange(2**bits) * ((high - low) / (2**bits - 1)) + low).astype(np.float32)


def linear_codes(x: np.ndarray, span: tuple[float, float], bits: int) -> np.ndarray:
    """Positions in `linear_table`."""
    low, high = span
    step = (high - low) / (2**bits - 1)
    levels = np.round((x.astype(np.float64) - low) / step) if step else np.zeros(x.shape)
    return np.clip(levels, 0, 2**bits - 1).astype(np.int32)


SCHEMES = {
    'log': Scheme(
        log_span,
        lambda span, bits: log_table(span, bits - 1),
        lambda x, span, bits: log_codes(x, span, bits - 1),
        lambda bits: bits,
    ),
    'log+sign': Scheme(log_span, log_table, log_codes, lambda bits: bits + 1),
    'linear': Scheme(linear_span, linear_table, linear_codes, lambda bits: bits),
}


def log_min_max(x: np.ndarray, b: int) -> np.ndarray:
    """Q(x) of the published formula with 2^b intervals, float32 of x's shape."""
    return quantized(x, 'log+sign', b)


def linear_min_max(x: np.ndarray, bits: int) -> np.ndarray:
    """Q(x) of the linear scheme, float32 of x's shape."""
    return quantized(x, 'linear', bits)


def quantized(x: np.ndarray, scheme: str, bits: int) -> np.ndarray:
    """Q(x) for one array by itself, without making a file's indices of it."""
    x = np.asarray(x, np.float32)
    chosen = SCHEMES[scheme]
    span = merge_spans([chosen.span(x)])
    return chosen.table(span, bits)[chosen.codes(x, span, bits)]


def filter_levels(bits: int) -> np.ndarray:
    """The float32 levels -n .. n of 2 bits or more."""
    n = largest_level(bits)
    return np.arange(-n, n + 1).astype(np.float32)


def filter_codes(weights: np.ndarray, bits: int, half: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(positions in `filter_levels`, flat; float32 scale of each filter, that is slice of axis 0) of an array.

    A vector is one filter. With `half` scales are numbers that half precision holds.
    """
    rows, n = _rows(weights), largest_level(bits)
    scale = least_error_scales(rows, n, half)
    codes = (_rounded(rows, scale, n) + n).astype(np.int32)
    return codes.reshape(-1), scale.reshape(-1).astype(np.float32)


def least_error_scales(
    rows: np.ndarray, n: int, half: bool = False, importance: np.ndarray | float = 1.0
) -> np.ndarray:
    """The scale (filters, 1) of each row (filters, weights) whose levels -n .. n leave the least squared error.

    The squares are weighted by `importance`, an array that broadcasts to the rows.
    """
    peak = np.abs(rows).max(axis=1, keepdims=True)
    scale = np.zeros_like(peak)
    least = np.full_like(peak, np.inf)
    for clip in CLIPS:
        tried = (clip * peak / n).astype(np.float16 if half else np.float32).astype(np.float64)
        error = (importance * (tried * _rounded(rows, tried, n) - rows) ** 2).sum(axis=1, keepdims=True)
        scale, least = np.where(error < least, tried, scale), np.minimum(error, least)
    return scale


def fits_half(values: np.ndarray) -> bool:
    """Whether half precision holds all of these numbers to within 2^-11 of the largest."""
    largest = np.abs(values).max(initial=0.0)
    return bool(largest == 0 or SMALLEST_HALF <= largest <= LARGEST_HALF)


def scales_fit_half(weights: np.ndarray, bits: int) -> bool:
    """Whether half precision holds the scale of every filter of an array to within 2^-11 of itself."""
    peaks = np.abs(_rows(weights)).max(axis=1) / largest_level(bits)
    return fits_half(peaks) and fits_half(peaks[peaks > 0].min(initial=1.0) * CLIPS.min())


def largest_level(bits: int) -> int:
    """n of the levels -n .. n."""
    return 2 ** (bits - 1) - 1


def _rows(weights: np.ndarray) -> np.ndarray:
    single = sum(extent > 1 for extent in weights.shape) <= 1
    return weights.reshape(1 if single else len(weights), -1).astype(np.float64)


def _rounded(rows: np.ndarray, scale: np.ndarray, n: int) -> np.ndarray:
    return np.clip(np.round(rows / np.where(scale > 0, scale, 1)), -n, n)
