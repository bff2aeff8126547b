"""How many channels each group loses in a step: the cuts whose losses, each tried alone, add up to the least.

A step is so short that losses nearly add up. What cuts save does not quite, as a convolution costs the product of what
it reads and makes: what they have to save one by one is raised until the net costs little enough with all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sphereslim.knapsack import least_losses

_UNITS = 10_000  # that a price is counted in
_HALVINGS = 12  # of the range in which is searched what cuts have to save one by one


@dataclass(frozen=True)
class Cut:
    """A group of which `number` channels stay: what the net costs then (`price`) and what it loses by that alone."""

    number: int
    price: float
    loss: float


def between(tried: Sequence[Cut], multiple: int) -> list[Cut]:
    """The Cuts `tried`, falling in number, and those between them, of numbers that are multiples of `multiple`.

    Price and loss lie on straight lines between those tried; no loss is below that of a milder cut.
    """
    most, fewest = tried[0].number, tried[-1].number
    numbers = [most, *(number for number in range(most - 1, fewest - 1, -1) if number % multiple == 0)]
    at = [-cut.number for cut in tried]
    losses = np.maximum.accumulate([max(cut.loss, 0.0) for cut in tried])
    prices = np.interp(np.negative(numbers), at, [cut.price for cut in tried])
    return [Cut(*row) for row in zip(numbers, prices.tolist(), np.interp(np.negative(numbers), at, losses).tolist())]


def best_numbers(
    table: Mapping[str, Sequence[Cut]], price_of: Callable[[Mapping[str, int]], float], limit: float
) -> dict[str, int]:
    """{group: number that stays} of least sum of losses with a price of at most `limit`; the fewest where none has.

    `table` is {group: [Cut]} with a cut of nothing first, `price_of` what the net costs with {group: number}. Where
    cuts save next to nothing one by one, as of a price that is the greater of two, all groups lose the same share.
    """

    def is_enough(numbers: Mapping[str, int]) -> bool:
        return price_of(numbers) <= limit

    most = sum(map(_most_saved, table.values()))
    if is_enough(_saving(table, most)):
        return _mildest(partial(_saving, table), most, is_enough)
    return _mildest(partial(_evenly, table), 1.0, is_enough)


def _mildest(
    cut: Callable[[float], dict[str, int]], most: float, is_enough: Callable[[Mapping[str, int]], bool]
) -> dict[str, int]:
    """What `cut` gives for the least number up to `most` that is enough; for `most` where none is."""
    low, high, numbers = 0.0, most, cut(most)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = cut(middle)
        if is_enough(found):
            high, numbers = middle, found
        else:
            low = middle
    return numbers


def _saving(table: Mapping[str, Sequence[Cut]], saved: float) -> dict[str, int]:
    """{group: number that stays} of the Cuts of least sum of losses that, one by one, save as much as `saved`."""
    most = {name: _most_saved(cuts) for name, cuts in table.items()}
    unit = max(cuts[0].price for cuts in table.values()) / _UNITS
    costs = {
        name: [(int(np.ceil((most[name] - cuts[0].price + cut.price) / unit)), cut.loss) for cut in cuts]
        for name, cuts in table.items()
    }
    chosen = least_losses(costs, int((sum(most.values()) - saved) / unit))
    return {name: cuts[chosen[name] if chosen else -1].number for name, cuts in table.items()}


def _evenly(table: Mapping[str, Sequence[Cut]], share: float) -> dict[str, int]:
    """{group: number that stays} of Cuts that go as far as a `share` of the deepest."""
    return {name: cuts[round(share * (len(cuts) - 1))].number for name, cuts in table.items()}


def _most_saved(cuts: Sequence[Cut]) -> float:
    return cuts[0].price - min(cut.price for cut in cuts)
