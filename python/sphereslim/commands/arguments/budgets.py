"""Budgets: what may remain of something, as a share of it or as an amount."""

import argparse
import re
from dataclasses import dataclass

from sphereslim.errors import SlimError

_FORM = re.compile(r'(\d+\.?\d*(?:e\d+)?|\.\d+) ?(%|[kmg]?)b?', re.I)
_UNITS = {'': 1, 'k': 10**3, 'm': 10**6, 'g': 10**9}
EXPECTED = 'a share such as 0.7 or 70%, or an amount such as 350M'


@dataclass(frozen=True)
class Budget:
    """A share of the whole (0 to 1) or an amount, and the words that said so."""

    text: str
    share: float | None
    amount: float | None

    def of(self, whole: float, what: str) -> float:
        """The amount that may remain of `whole`, which counts `what`; SlimError where it is not less than all of it."""
        if self.share is not None:
            return self.share * whole
        assert self.amount is not None
        if self.amount > whole:
            raise SlimError(f'budget {self.text}: there are only {whole:,.0f} {what}, expected {EXPECTED}')
        return self.amount

    def share_of(self, whole: float, what: str) -> float:
        """The share of `whole` that may remain; SlimError as `of`."""
        return self.share if self.share is not None else self.of(whole, what) / whole


def budget(text: str) -> Budget:
    """The type of a budget: a share up to 1, a percentage, or an amount, where K, M and G are 10^3, 10^6 and 10^9."""
    found = _FORM.fullmatch(text)
    number = float(found[1]) if found else 0.0
    unit = found[2].lower() if found else ''
    if unit == '%' and 0 < number <= 100:
        return Budget(text, number / 100, None)
    if found and not unit and 0 < number <= 1 and text == found[1]:
        return Budget(text, number, None)
    if unit != '%' and number * _UNITS[unit] >= 1000:
        return Budget(text, None, number * _UNITS[unit])
    raise argparse.ArgumentTypeError(f'{text}, expected {EXPECTED}')


def add_budget(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --budget, which counts `what`."""
    parser.add_argument(
        '--budget',
        type=budget,
        required=True,
        help=f'{what} that may remain: {EXPECTED}'.replace('%', '%%'),
    )


def budgets(text: str) -> list[Budget]:
    """The type of several budgets, separated by commas."""
    return [budget(word) for word in text.split(',')]
