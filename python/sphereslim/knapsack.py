"""One choice for every name, such that the losses add up to the least while the costs add up to no more than a budget.

The multiple-choice knapsack problem, by dynamic programming: name by name the least sum of losses for every cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

STEPS = 100_000  # that a budget is divided into: of 550,000 bytes one is 6


def least_losses(
    choices: Mapping[str, Sequence[tuple[int, float]]], budget: int, steps: int = STEPS
) -> dict[str, int] | None:
    """{name: number of its choice} for {name: [(cost, loss)]}; None where the least costs exceed the budget.

    Costs above a name's least are counted in steps of what is left for them, divided by `steps`, rounded up.
    """
    least = {name: min(cost for cost, _ in own) for name, own in choices.items()}
    free = budget - sum(least.values())
    if free < 0:
        return None
    step = max(1, -(-free // steps))
    widths = {name: [-(-(cost - least[name]) // step) for cost, _ in own] for name, own in choices.items()}
    sums, chosen = np.zeros(free // step + 1), dict[str, np.ndarray]()
    for name, own in choices.items():
        sums, chosen[name] = _with_one_more(sums, widths[name], [loss for _, loss in own])
    place, numbers = len(sums) - 1, dict.fromkeys(choices, 0)
    for name in reversed(numbers):
        numbers[name] = int(chosen[name][place])
        place -= widths[name][numbers[name]]
    return numbers


def _with_one_more(sums: np.ndarray, widths: Sequence[int], losses: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """(least sums with one more name, number of its choice) for every number of steps that may be used.

    `sums` are the least sums of the names so far, `widths` the steps and `losses` the losses of the name's choices.
    """
    found = np.full((len(widths), len(sums)), np.inf)
    for row, width, loss in zip(found, widths, losses):
        if width < len(sums):
            row[width:] = sums[: len(sums) - width] + loss
    chosen = found.argmin(axis=0)
    return found[chosen, np.arange(len(sums))], chosen.astype(np.min_scalar_type(len(widths)))
