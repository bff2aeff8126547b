"""How many channels of a group stay at a given rate."""

import math

from sphereslim.errors import SlimError

_ROUNDING = 1e-9  # 0.29 · 100 is 28.999… in binary


def kept_count(size, rate, pairs=False, multiple=1):
    """The number of channels kept out of `size` at `rate`, the share kept (0 < rate <= 1); never less than one.

    floor(rate·size) as in the entropy paper, or size − 2·floor(size·(1−rate)/2) where channels leave in pairs as in
    Sphereface-Prune. The count is then rounded up to the next multiple of `multiple`, up to `size`.
    """
    if not 0 < rate <= 1:
        raise SlimError(f'rate {rate}: expected the share of channels to keep, above 0 and at most 1')
    if multiple < 1:
        raise SlimError(f'multiple {multiple}: expected a whole number of at least 1')
    if pairs:
        kept = size - 2 * math.floor(size * (1 - rate) / 2 + _ROUNDING)
    else:
        kept = math.floor(rate * size + _ROUNDING)
    return min(size, math.ceil(max(kept, 1) / multiple) * multiple)
