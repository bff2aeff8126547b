"""The choice of least loss within a budget."""

from itertools import product

import numpy as np
import pytest
from sphereslim.knapsack import least_losses


def best_of_all(choices, budget):
    """The least sum of losses that a budget allows, by trying all."""
    sums = (tuple(map(sum, zip(*picked))) for picked in product(*choices.values()))
    return min((loss for cost, loss in sums if cost <= budget), default=None)


@pytest.mark.parametrize('seed', range(5))
def test_no_other_choice_within_the_budget_loses_less(seed):
    rng = np.random.default_rng(seed)
    choices = {name: list(zip(rng.integers(0, 30, 4).tolist(), rng.random(4).tolist())) for name in 'abcde'}
    for budget in range(10, 120, 10):
        found, best = least_losses(choices, budget), best_of_all(choices, budget)
        assert (found is None) == (best is None)
        if found is not None:
            cost, loss = map(sum, zip(*(choices[name][number] for name, number in found.items())))
            assert cost <= budget and loss == pytest.approx(best)


def test_coarse_steps_lose_a_little_but_keep_to_the_budget():
    rng = np.random.default_rng(0)
    choices = {name: list(zip(rng.integers(0, 3000, 5).tolist(), rng.random(5).tolist())) for name in 'abcde'}
    found = least_losses(choices, 6000, steps=100)
    cost, loss = map(sum, zip(*(choices[name][number] for name, number in found.items())))
    assert cost <= 6000 and best_of_all(choices, 6000) <= loss <= best_of_all(choices, 5600)


def test_a_budget_below_the_least_costs_has_no_choice():
    assert least_losses({'a': [(3, 1.0), (5, 0.0)], 'b': [(2, 0.0)]}, 4) is None
    assert least_losses({'a': [(3, 1.0), (5, 0.0)], 'b': [(2, 0.0)]}, 5) == {'a': 0, 'b': 0}
