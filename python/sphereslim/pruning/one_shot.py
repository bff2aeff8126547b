"""Pruning many groups at once: every group measured in the whole net, cut to given counts, readers refitted."""

from sphereslim.criteria import criterion as find_criterion
from sphereslim.pruning.model import refit, slim
from sphereslim.pruning.selection import choose, measure


def evidence(model, names, criterion, feed, seed=0):
    """{group name: what the criterion measured} over the batches of `feed`."""
    sampler = model.sampler(feed, backward=find_criterion(criterion).needs_gradients)
    return {name: measure(model.groups, name, criterion, sampler, seed) for name in names}


def selections(model, criterion, measured, counts, seed=0):
    """[Selection] of the groups in {group name: number kept} from `measured` as `evidence` gives it."""
    return [
        choose(model.groups, name, criterion, measured[name], number / model.groups.of(name).size, seed, exact=True)
        for name, number in counts.items()
        if number < model.groups.of(name).size
    ]


def apply(model, chosen, feed=None, fit=None, seed=0, every=False):
    """The Model with [Selection] carried out; with a `feed` layers are refitted over its batches, see `refit`."""
    kept = {selection.group: selection.kept for selection in chosen}
    slimmed = slim(model, kept)
    return refit(model, slimmed, kept, feed, fit, seed, every=every) if feed else slimmed
