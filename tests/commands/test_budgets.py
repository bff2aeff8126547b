"""One meaning of budgets in all commands: a share up to 1, a percentage, or an amount."""

import argparse

import pytest
from sphereslim.commands.arguments.budgets import budget, budgets
from sphereslim.errors import SlimError


@pytest.mark.parametrize(
    'text, left',
    [
        *(('0.8', 4000), ('80%', 4000), ('1', 5000), ('100%', 5000), ('.5', 2500), ('2.5%', 125)),
        *(('3000', 3000), ('1K', 1000), ('4.5 k', 4500), ('4.5KB', 4500)),
    ],
)
def test_a_budget_is_a_share_or_an_amount(text, left):
    assert budget(text).of(5000, 'MACs') == pytest.approx(left)
    assert budget(text).share_of(5000, 'MACs') == pytest.approx(left / 5000)


@pytest.mark.parametrize('text', ['0', '-1', '1.5', '700', '0%', '101%', '0.5M%', 'all', '1T', '', 'nan'])
def test_anything_else_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match='expected a share such as 0.7 or 70%, or an amount'):
        budget(text)


def test_more_than_there_is_cannot_remain():
    with pytest.raises(SlimError, match='budget 6K: there are only 5,000 MACs'):
        budget('6K').of(5000, 'MACs')


def test_several_stand_between_commas():
    assert [one.share_of(100, 'MACs') for one in budgets('0.7,50%')] == [0.7, 0.5]
