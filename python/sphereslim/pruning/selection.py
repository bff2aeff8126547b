"""Choosing the channels of a group that stay."""

from dataclasses import dataclass

import numpy as np

from sphereslim.criteria import criterion as find_criterion
from sphereslim.criteria.context import Context
from sphereslim.errors import SlimError
from sphereslim.pruning.counts import kept_count


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

    def as_dict(self):
        """The selection as plain numbers and lists, for selection.json."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}


def measure(groups, layer, criterion, sampler, seed=0, **options):
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


def choose(groups, layer, criterion, evidence, rate, seed=0, multiple=1, exact=False):
    """The Selection at `rate`, the share kept, from what `measure` gave.

    With `exact` a criterion by which channels leave two by two removes an odd number too, where the rate says so.
    """
    found, group = find_criterion(criterion), groups.of(layer)
    keep = kept_count(group.size, rate, found.pairs and not exact, multiple)
    kept, scores = found.choose(evidence, keep)
    removed = np.setdiff1d(np.arange(group.size), kept)
    return Selection(group.name, criterion, rate, seed, kept, removed, scores)


def select(groups, layer, criterion, sampler, rate, seed=0, multiple=1, exact=False, **options):
    """Measure a group and choose what stays, in one go; `options` are those of the criterion."""
    kept_count(groups.of(layer).size, rate)  # a wrong rate is told before the net runs
    evidence = measure(groups, layer, criterion, sampler, seed, **options)
    return choose(groups, layer, criterion, evidence, rate, seed, multiple, exact)
