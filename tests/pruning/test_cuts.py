"""How many channels every group loses in a step."""

from itertools import product

import numpy as np
import pytest
from sphereslim.pruning.cuts import Cut, best_numbers, between

SIZES = {'a': 6, 'b': 8, 'c': 5}


def apart(numbers):
    """The cost of layers that have nothing to do with each other."""
    return 30.0 * numbers['a'] + 20 * numbers['b'] + 30 * numbers['c']


def in_a_row(numbers):
    """The cost of two layers, one of which reads what the other makes, and of one beside them."""
    return 10.0 * numbers['a'] * numbers['b'] + 30 * numbers['c']


def table(price_of, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: [
            Cut(size - gone, price_of(SIZES | {name: size - gone}), float(loss))
            for gone, loss in enumerate(np.cumsum([0, *rng.random(size - 2)]))
        ]
        for name, size in SIZES.items()
    }


def lost(cuts, numbers):
    return sum(cut.loss for name, own in cuts.items() for cut in own if cut.number == numbers[name])


@pytest.mark.parametrize('seed', range(4))
def test_of_cuts_that_save_apart_no_others_within_the_limit_lose_less(seed):
    cuts = table(apart, seed)
    every = [dict(zip(cuts, numbers)) for numbers in product(*([cut.number for cut in own] for own in cuts.values()))]
    for limit in (450, 400, 350, 300, 250):
        found = best_numbers(cuts, apart, limit)
        best = min(lost(cuts, numbers) for numbers in every if apart(numbers) <= limit)
        assert apart(found) <= limit and lost(cuts, found) == pytest.approx(best)


def test_cuts_that_save_less_together_than_one_by_one_still_keep_to_the_limit():
    for limit in (600, 500, 400, 300, 200):
        found = best_numbers(table(in_a_row), in_a_row, limit)
        assert limit - 110 < in_a_row(found) <= limit


def test_a_price_that_is_the_greater_of_two_is_met_without_the_deepest_cuts():
    def either(numbers):
        return max(numbers['a'] + numbers['c'] / 100, numbers['b'] - 2 + numbers['c'] / 100)

    assert max(either(SIZES | {name: 2}) for name in SIZES) > 5 > either({'a': 4, 'b': 6, 'c': 4})
    found = best_numbers(table(either), either, 5)
    assert 4 <= either(found) <= 5


def test_a_limit_that_a_step_cannot_reach_takes_the_most_that_it_may():
    assert best_numbers(table(in_a_row), in_a_row, 10) == {'a': 2, 'b': 2, 'c': 2}


def test_between_numbers_that_were_tried_price_and_loss_lie_on_straight_lines():
    tried = [Cut(21, 210.0, 0.0), Cut(16, 160.0, 1.0), Cut(8, 80.0, 0.5), Cut(4, 40.0, 2.5)]
    found = between(tried, 4)
    assert [cut.number for cut in found] == [21, 20, 16, 12, 8, 4]
    assert [cut.price for cut in found] == pytest.approx([210, 200, 160, 120, 80, 40])
    assert [cut.loss for cut in found] == pytest.approx([0, 0.2, 1, 1, 1, 2.5])
