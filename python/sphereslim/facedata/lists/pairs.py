"""Verification pairs in the form of LFW's pairs.txt (view 2)."""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np

from sphereslim.errors import SlimError

Pair = tuple[str | int, ...]  # (name, i, j) or (name1, i, name2, j)
Fold = tuple[list[Pair], list[Pair]]  # matched, mismatched


def draw(people: Sequence[str], pictures: int, folds: int, count: int, rng: np.random.Generator) -> list[Fold]:
    """Folds of (`count` matched pairs, `count` mismatched pairs); a person is in one fold only, as in LFW.

    `people` are names with `pictures` pictures each. A matched pair is (name, i, j), a mismatched one
    (name1, i, name2, j), pictures counted from 1; no pair occurs twice. Raises SlimError when there are too few.
    """
    groups = np.array_split(np.array(people)[rng.permutation(len(people))], folds)
    return [
        (_matched(group.tolist(), pictures, count, rng), _mismatched(group.tolist(), pictures, count, rng))
        for group in groups
    ]


def as_text(folds: Sequence[Fold]) -> str:
    """The content of pairs.txt: `folds<TAB>count`, then each fold's matched and mismatched pairs."""
    lines = [(len(folds), len(folds[0][0])), *(pair for fold in folds for kind in fold for pair in kind)]
    return ''.join('\t'.join(map(str, line)) + '\n' for line in lines)


def _matched(names: Sequence[str], pictures: int, count: int, rng: np.random.Generator) -> list[Pair]:
    options = [(name, *pair) for name in names for pair in combinations(range(1, pictures + 1), 2)]
    return _some(options, count, 'matched', rng)


def _mismatched(names: Sequence[str], pictures: int, count: int, rng: np.random.Generator) -> list[Pair]:
    numbers = range(1, pictures + 1)
    options = [(a, i, b, j) for a, b in combinations(names, 2) for i, j in product(numbers, numbers)]
    return _some(options, count, 'mismatched', rng)


def _some(options: Sequence[Pair], count: int, kind: str, rng: np.random.Generator) -> list[Pair]:
    if len(options) < count:
        raise SlimError(
            f'a fold has only {len(options)} {kind} pairs, expected at least {count}: '
            'more test people or pictures, or fewer --folds or --per-fold'
        )
    return [options[k] for k in sorted(rng.choice(len(options), count, replace=False))]
