"""Budgets: what may remain of something, as a share of it or as an amount."""

import argparse
import re

from sphereslim.compression.budgets import EXPECTED, Budget

COUNTED = {'macs': 'multiply-accumulates', 'parameters': 'parameters'}
_FORM = re.compile(r'(\d+\.?\d*(?:e\d+)?|\.\d+) ?(%|[kmg]?)b?', re.I)
_UNITS = {'': 1, 'k': 10**3, 'm': 10**6, 'g': 10**9}


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


def add_counted(parser: argparse.ArgumentParser, name: str, what: str) -> None:
    """Add --`name`, which counts `what`; it may be left out."""
    parser.add_argument(
        f'--{name}', type=budget, metavar='BUDGET', help=f'{what} that may remain, such as 50%% or 200M'
    )


def budgets(text: str) -> list[Budget]:
    """The type of several budgets, separated by commas."""
    return [budget(word) for word in text.split(',')]
