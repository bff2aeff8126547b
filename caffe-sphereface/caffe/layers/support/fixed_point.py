"""Values in few bits as Vitis AI's Caffe has them: whole multiples of 2^−position, within `bits` bits.

Every function takes and gives float tensors. `NOWHERE` is the position of zeros alone, which any would hold.
"""

from collections.abc import Callable
from math import floor, isnan, log2, nan

import torch

NOWHERE, UNKNOWN = 2**15 - 1, -(2**15)  # as the fork writes them; the second is that of values with a NaN
_TRIED, _TRIED_BEHIND_SIGMOID = 5, 10  # positions


def largest_position(x: torch.Tensor, bits: int) -> int:
    """The most places behind the point with which no value leaves the range, but for half a step."""
    if not x.numel():
        return NOWHERE
    # in float32, which decides where a size is a power of two
    half = 2.0 ** (bits - 1)
    low, high = (value.to(torch.float32) for value in torch.aminmax(x.detach()))
    step = torch.maximum(low / (-half - 0.5), high / (half - 0.5))
    value = float(step)
    if isnan(value):
        return UNKNOWN
    return floor(log2(float(1 / step))) if value else NOWHERE


def nearest_position(x: torch.Tensor, bits: int) -> int:
    """Of the largest position and the 4 above it the first with the least sum of squared errors."""
    return _nearest(x, bits, _TRIED, lambda values: values, NOWHERE)


def nearest_position_behind_sigmoid(x: torch.Tensor, bits: int) -> int:
    """Of the largest position and the 9 above it the first with the least squared errors of the sigmoid."""
    return _nearest(x, bits, _TRIED_BEHIND_SIGMOID, torch.sigmoid, 0)


def _nearest(x: torch.Tensor, bits: int, tried: int, of: Callable[[torch.Tensor], torch.Tensor], nothing: int) -> int:
    first = largest_position(x, bits)
    if first in (NOWHERE, UNKNOWN):
        return nothing if first == NOWHERE else UNKNOWN
    positions = range(first, first + tried)
    aims = of(x)
    errors = [float((aims - of(rounded(x, bits, position))).square().sum()) for position in positions]
    return positions[errors.index(min(errors))]


def rounded(x: torch.Tensor, bits: int, position: int) -> torch.Tensor:
    """The nearest values of the range, halves away from zero: how weights are rounded."""
    return _within(x, bits, position, lambda t: t.trunc() + t.sign() * ((t - t.trunc()).abs() >= 0.5))


def rounded_up(x: torch.Tensor, bits: int, position: int) -> torch.Tensor:
    """The nearest values of the range, halves upwards: how what a layer gives is rounded."""
    return _within(x, bits, position, lambda t: t.floor() + (t - t.floor() >= 0.5))


def cut(x: torch.Tensor, position: int) -> torch.Tensor:
    """Values without what lies behind the position, however large they are."""
    if position in (NOWHERE, UNKNOWN):
        return torch.full_like(x, 0 if position == NOWHERE else nan)
    return (x * 2.0**position).trunc() * 2.0**-position


def _within(x: torch.Tensor, bits: int, position: int, whole: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    if position in (NOWHERE, UNKNOWN):
        return torch.full_like(x, 0 if position == NOWHERE else nan)
    half = 2.0 ** (bits - 1)
    return whole(x * 2.0**position).clamp(-half, half - 1) * 2.0**-position
