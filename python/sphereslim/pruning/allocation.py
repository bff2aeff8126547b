"""Spending a budget of MACs or parameters over groups: one ranking of all channels by loss per cost saved.

Losses of single groups are taken to add up. A group's loss over the share removed is fitted as a·p^b with b >= 1, so
that each further channel costs at least as much as the one before. The cost is counted on the pruned prototxt itself,
since a convolution's MACs fall with the product of what it reads and makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sphereslim.errors import SlimError
from sphereslim.pruning.model import Model, cost_of_counts
from sphereslim.pruning.sensitivity import Row

COSTS = {'macs': 0, 'parameters': 1}
_TINY = 1e-7  # a loss of nothing, so that logarithms exist


@dataclass(frozen=True)
class Curve:
    """Loss a·p^b of removing the share p of `size` channels, at most `most` of them; `saved` is the cost of one."""

    size: int
    most: int
    saved: float
    a: float
    b: float

    def prices(self) -> np.ndarray:
        """Loss per cost saved of the first, second, … channel that leaves, ascending."""
        loss = self.a * (np.arange(self.most + 1) / self.size) ** self.b
        return np.diff(loss) / self.saved


def curves(rows: Sequence[Row], kind: str = 'macs') -> dict[str, Curve]:
    """{group: Curve} from the rows of a sensitivity table; a group goes no lower than its lowest rate measured."""
    whole = next((row for row in rows if not row.group), None)
    if whole is None:
        raise SlimError('the table has no row of the whole net, expected a finished table of sensitivities')
    found = {}
    for name in dict.fromkeys(row.group for row in rows if row.group):
        own = [row for row in rows if row.group == name and row.kept < row.size]
        if own:
            found[name] = _curve(own, whole, kind)
    return found


def _curve(rows: Sequence[Row], whole: Row, kind: str) -> Curve:
    least = min(rows, key=lambda row: row.kept)
    shares = np.log([1 - row.kept / row.size for row in rows])
    losses = np.log([max(row.loss - whole.loss, _TINY) for row in rows])
    slope = np.polyfit(shares, losses, 1)[0] if len(rows) > 1 else 1.0
    b = float(np.clip(slope, 1.0, 6.0))
    saved = (getattr(whole, kind) - getattr(least, kind)) / (least.size - least.kept)
    return Curve(least.size, least.size - least.kept, saved, float(np.exp(np.mean(losses - b * shares))), b)


def allocate_channels(
    model: Model,
    found: Mapping[str, Curve],
    budget: float,
    kind: str = 'macs',
    multiple: int = 1,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> dict[str, int]:
    """{group: number kept} of the mildest cut on the ranking whose cost is at most `budget`.

    `found` is {group: Curve}; counts are rounded up to `multiple`. SlimError where even the deepest cut costs more.
    """
    order = ranking(found)

    def counts(length: int) -> dict[str, int]:
        removed = {name: 0 for name in found}
        for name in order[:length]:
            removed[name] += 1
        return {name: min(c.size, -(-(c.size - removed[name]) // multiple) * multiple) for name, c in found.items()}

    def price(length: int) -> int:
        return cost_of_counts(model, counts(length))[COSTS[kind]]

    least = price(len(order))
    if least > budget:
        raise SlimError(f'budget of {budget:,.0f} {kind}: the lowest rates of the table still cost {least:,}')
    low, high = -1, len(order)
    for _ in progress(range(len(order).bit_length() + 1)):
        if high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if price(middle) <= budget else (middle, high)
    return counts(high)


def ranking(found: Mapping[str, Curve]) -> list[str]:
    """Group names in the order in which one channel after another leaves, least loss per cost first."""
    entries = [(price, place, name) for name, curve in found.items() for place, price in enumerate(curve.prices())]
    return [name for _, _, name in sorted(entries)]
