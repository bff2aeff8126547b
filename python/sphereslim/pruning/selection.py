"""Choosing the channels of a group that stay: how many, which, and the file that says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.channels.groups import Groups
from sphereslim.criteria import criterion as find_criterion
from sphereslim.criteria.context import Context
from sphereslim.errors import SlimError
from sphereslim.files import read_json
from sphereslim.sampling.sampler import Sampler

_ROUNDING = 1e-9  # 0.29 · 100 is 28.999… in binary


@dataclass(frozen=True, eq=False)
class Selection:
    """Which units of a group stay, ascending, which go, and the score of every unit under the criterion."""

    group: str
    criterion: str
    rate: float
    seed: int
    kept: np.ndarray
    removed: np.ndarray
    scores: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """The selection as plain numbers and lists, for selection.json."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}


def kept_count(size: int, rate: float, pairs: bool = False, multiple: int = 1) -> int:
    """The number of channels kept out of `size` at `rate`, the share kept (0 < rate <= 1); never less than one.

    floor(rate·size) as in the entropy paper, or size − 2·floor(size·(1−rate)/2) where channels leave in pairs as in
    Sphereface-Prune. The count is then rounded up to the next multiple of `multiple`, up to `size`.
    """
    if not 0 < rate <= 1:
        raise SlimError(f'rate {rate}: expected the share of channels to keep, above 0 and at most 1')
    if multiple < 1:
        raise SlimError(f'multiple {multiple}: expected a whole number of at least 1')
    if pairs:
        kept = size - 2 * math.floor(size * (1 - rate) / 2 + _ROUNDING)
    else:
        kept = math.floor(rate * size + _ROUNDING)
    return min(size, math.ceil(max(kept, 1) / multiple) * multiple)


def measure(groups: Groups, layer: str, criterion: str, sampler: Sampler, seed: int = 0, **options: Any) -> Any:
    """What a criterion sees of the group a layer belongs to; `choose` picks from it at any rate."""
    found = find_criterion(criterion)
    unknown = set(options) - set(found.options)
    if unknown:
        raise SlimError(
            f"criterion '{criterion}' has no option '{sorted(unknown)[0]}', "
            f'expected one of: {", ".join(found.options) or "none"}'
        )
    context = Context(groups, groups.of(layer), sampler, np.random.default_rng(seed))
    return found.measure(context, **{**found.options, **options})


def choose(
    groups: Groups,
    layer: str,
    criterion: str,
    evidence: Any,
    rate: float,
    seed: int = 0,
    multiple: int = 1,
    exact: bool = False,
) -> Selection:
    """The Selection at `rate`, the share kept, from what `measure` gave.

    With `exact` a criterion by which channels leave two by two removes an odd number too, where the rate says so.
    """
    found, group = find_criterion(criterion), groups.of(layer)
    keep = kept_count(group.size, rate, found.pairs and not exact, multiple)
    kept, scores = found.choose(evidence, keep)
    removed = np.setdiff1d(np.arange(group.size), kept)
    return Selection(group.name, criterion, rate, seed, kept, removed, scores)


def select(
    groups: Groups,
    layer: str,
    criterion: str,
    sampler: Sampler,
    rate: float,
    seed: int = 0,
    multiple: int = 1,
    exact: bool = False,
    **options: Any,
) -> Selection:
    """Measure a group and choose what stays, in one go; `options` are those of the criterion."""
    kept_count(groups.of(layer).size, rate)  # a wrong rate is told before the net runs
    evidence = measure(groups, layer, criterion, sampler, seed, **options)
    return choose(groups, layer, criterion, evidence, rate, seed, multiple, exact)


def read_selections(paths: Sequence[str | Path]) -> dict[str, list[int]]:
    """{layer: kept indices} of selection files; SlimError for an invalid file and for a layer chosen twice."""
    kept = {}
    for path in paths:
        values = read_json(path)
        entries = values.get('selections', [values]) if isinstance(values, dict) else None
        if not entries:
            raise SlimError(f'{path}: is no selection, expected what select_filters.py wrote')
        for entry in entries:
            if not isinstance(entry, dict) or 'layer' not in entry or not isinstance(entry.get('kept'), list):
                raise SlimError(f'{path}: is no selection, expected layer and kept, as select_filters.py writes them')
            if entry['layer'] in kept:
                raise SlimError(f"{path}: layer '{entry['layer']}' is selected twice")
            kept[entry['layer']] = entry['kept']
    return kept
