"""Types of single arguments: numbers, names, shares, shapes."""

import argparse
import math


def whole(text: str) -> int:
    """The type of a number of at least 1."""
    if not text.isdigit() or not 1 <= int(text) < 2**31:
        raise argparse.ArgumentTypeError(f'{text}, expected a whole number of at least 1')
    return int(text)


def from_zero(text: str) -> int:
    """The type of a number of at least 0."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f'{text}, expected a whole number of at least 0')
    return int(text)


seed = from_zero  # of random numbers


def not_negative(text: str) -> float:
    """The type of a finite number of at least 0."""
    if not 0 <= _number(text) < math.inf:
        raise argparse.ArgumentTypeError(f'{text}, expected a number of at least 0')
    return float(text)


def positive(text: str) -> float:
    """The type of a finite number above 0."""
    if not 0 < _number(text) < math.inf:
        raise argparse.ArgumentTypeError(f'{text}, expected a number above 0')
    return float(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def names(text: str) -> list[str]:
    """The type of names, separated by commas."""
    return [name for name in text.split(',') if name]


def rates(text: str) -> list[float]:
    """The type of shares to keep, separated by commas."""
    try:
        values = [float(word) for word in text.split(',')]
    except ValueError:
        values = []
    if not values or not all(0 < value < 1 for value in values):
        raise argparse.ArgumentTypeError(f'{text}, expected shares above 0 and below 1, separated by commas')
    return sorted(set(values), reverse=True)


def shape(text: str) -> tuple[int, ...]:
    """The type of an input's shape, such as 1,3,112,96."""
    words = text.split(',')
    if not all(word.isdigit() and 0 < int(word) < 2**31 for word in words):
        raise argparse.ArgumentTypeError(f'{text}, expected positive whole numbers with commas, such as 1,3,112,96')
    return tuple(map(int, words))
