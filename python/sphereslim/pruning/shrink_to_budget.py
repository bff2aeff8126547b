"""A net made smaller step by step: every step measures anew what each group's channels are worth, cuts and refits.

In a step each group is tried alone with several numbers of channels less, chosen by `criteria.obs` and made up for by
the layers that read them; those cuts are made whose losses add up to the least (`knapsack`). Then all layers are
refitted in the order of the net to what the original gives, on what the smaller net gives them. Along linear trunks the
channels are principal components, of which the last leave first (`rewrite.rotate`). No step trains. In the end the
layers are refitted on more pictures, those of each block together (`pruning.blocks`).

A folder holds every step, and a run continues behind the last one that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sphereslim.channels.groups import Group
from sphereslim.channels.surgery import prune_prototxt
from sphereslim.criteria.context import Context
from sphereslim.criteria.obs import System, choose, measure_all
from sphereslim.data.feed import Feed
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.evaluation.output_distance import cosine_distance
from sphereslim.files import ResultsFile
from sphereslim.pruning.cuts import Cut, best_numbers, between
from sphereslim.pruning.model import Model, cost, open_model, refit, slim
from sphereslim.pruning.reconstruct import Fit
from sphereslim.pruning.trials import Trials, outputs_of
from sphereslim.rewrite.rotate import covariance, linear_trunks, principal_components, rotate

_MOST_OF_A_GROUP = 2.5  # a step takes at most so many times its `stride` of the channels that a group had at first
_LEAST_LEFT = 8  # and leaves one in so many
_APART = 1 / 16  # of the channels that a group had at first: how far apart the numbers are that it is tried with
_TOGETHER = 12  # iterations in which the layers of a block are refitted together, in the end

Price: TypeAlias = 'Callable[[caffe_pb2.NetParameter], float]'


def macs_of(net: caffe_pb2.NetParameter) -> float:
    """Multiply-accumulates of a deploy NetParameter for one picture."""
    return cost(net)[0]


@dataclass(frozen=True)
class Settings:
    """How a net is made smaller. `price` says what is to become less, a number of a deploy NetParameter.

    No step saves more than the share `stride` of what the net costs at first. Numbers of channels become multiples of
    `multiple`. `fit` is how every step refits.
    """

    price: Price = macs_of
    stride: float = 0.05
    multiple: int = 1
    fit: Fit = Fit(40)
    seed: int = 0

    def prices(self, first: float, targets: Sequence[float]) -> list[float]:
        """What each step may cost at most, falling: the targets, and between them steps of even width."""
        found, now = [], first
        for target in sorted(set(targets), reverse=True):
            number = int(np.ceil(max(now - target, 0) / (self.stride * first) - 1e-9))
            found += [float(now + (target - now) * (k + 1) / number) for k in range(number - 1)] + [float(target)]
            now = min(now, target)
        return found


@dataclass(frozen=True)
class Step:
    """A smaller net in `folder` (deploy.prototxt, weights.caffemodel).

    It costs `price`, at most `limit`; `macs` and `parameters`; `loss` is the mean 1 − cosine of its outputs to the
    original's on the test pictures. `kept` says which channels of the turned original stay, {group: indices}.
    """

    folder: str
    limit: float
    price: float
    macs: int
    parameters: int
    loss: float
    kept: dict[str, list[int]]

    def model(self) -> Model:
        """The Model in the folder."""
        return open_model(Path(self.folder) / 'deploy.prototxt', Path(self.folder) / 'weights.caffemodel')


class Shrinking:
    """A Model that becomes smaller in a `folder`: channels are judged and refits made on the pictures of `feed`.

    Cuts are tried on those of `test`. SlimError for a model without prunable groups, and for a folder that holds steps
    of another model, other pictures or settings.
    """

    def __init__(
        self, model: Model, feed: Feed, test: Feed, folder: str | Path, settings: Settings | None = None
    ) -> None:
        if not model.groups.prunable():
            raise SlimError(f"net '{model.net.name}': no group of channels can be pruned")
        self._folder, self._settings = Path(folder), settings or Settings()
        self._feed, self._test = feed, test
        self._original = model
        self._trunks = {group.name for group in linear_trunks(model.groups)}
        self._first = self._settings.price(model.net)

    def steps(
        self, targets: Sequence[float], progress: Callable[[list[float]], Iterable[float]] = iter
    ) -> Iterator[Step]:
        """Every Step on the way to the prices `targets`, those that are there already too.

        `progress` wraps the list of what the steps may cost. SlimError for a target below what any choice of channels
        reaches.
        """
        limits = self._settings.prices(self._first, targets)
        self._check_reach(limits[-1])
        known = ResultsFile(self._folder / 'steps.json', self._subject())
        whole = self.whole()
        model, kept = whole, dict[str, np.ndarray]()
        for limit in progress(limits):
            name = f'{100 * limit / self._first:.2f}'
            if name not in known.results:
                model, kept = self._smaller(whole, model, kept, limit)
                known.keep(name, asdict(self._written(model, kept, limit, name)))
            step = Step(**known.results[name])
            model, kept = step.model(), {group: np.array(own) for group, own in step.kept.items()}
            yield step

    def refined(
        self,
        step: Step,
        feed: Feed,
        fit: Fit | None = None,
        name: str = 'refined',
        progress: Callable[[Iterable[str]], Iterable[str]] = iter,
    ) -> Step:
        """A Step whose layers are refitted once more, on the pictures of another feed; kept in the folder too.

        By default the layers of each block are refitted together too, see `pruning.blocks`. `progress` wraps the names
        of the layers as they are done.
        """
        fit = fit or replace(self._settings.fit, together=_TOGETHER)
        more = {'refined on': _pictures(feed), 'refined by': asdict(fit)}
        known = ResultsFile(self._folder / f'{name}.json', self._subject() | more)
        key = Path(step.folder).name
        if key not in known.results:
            whole, kept = self.whole(), {group: np.array(own) for group, own in step.kept.items()}
            model = refit(whole, step.model(), kept, feed, fit, self._settings.seed, progress, every=True)
            known.keep(key, asdict(self._written(model, kept, step.limit, f'{key}-{name}')))
        return Step(**known.results[key])

    def whole(self) -> Model:
        """The original with its linear trunks turned onto their principal components: it computes the same."""
        folder = self._folder / 'whole'
        if not (folder / 'deploy.prototxt').is_file():
            turned(self._original, self._feed).save(folder)
        return open_model(folder / 'deploy.prototxt', folder / 'weights.caffemodel')

    def _subject(self) -> dict[str, Any]:
        settings = self._settings
        return {
            'net': self._original.net.name,
            'price': self._first,
            'pictures': _pictures(self._feed),
            'test': _pictures(self._test),
            'multiple': settings.multiple,
            'fit': asdict(settings.fit),
            'seed': settings.seed,
        }

    def least_price(self) -> float:
        """What the net costs with as few channels as every group may keep."""
        least = {group.name: _least(group.size, self._settings.multiple) for group in self._original.groups.prunable()}
        return _price_of(self._original, least, self._settings.price)

    def _check_reach(self, target: float) -> None:
        price = self.least_price()
        if price > target:
            raise SlimError(
                f'budget of {target:,.0f}: no choice of channels costs as little, expected at least {price:,.0f}'
            )

    def _smaller(
        self, whole: Model, model: Model, kept: dict[str, np.ndarray], limit: float
    ) -> tuple[Model, dict[str, np.ndarray]]:
        """(Model of a price of at most `limit`, what of the whole it keeps)."""
        sizes = {group.name: group.size for group in whole.groups.prunable()}
        while self._settings.price(model.net) > limit:
            chosen = self._chosen(model, sizes, limit)
            kept = kept | {name: kept.get(name, np.arange(sizes[name]))[own] for name, own in chosen.items()}
            model = slim(model, chosen)
        return refit(whole, model, kept, self._feed, self._settings.fit, self._settings.seed, every=True), kept

    def _chosen(self, model: Model, sizes: dict[str, int], limit: float) -> dict[str, np.ndarray]:
        """{group: units that stay} of the cuts whose losses add up to the least, as many as `limit` takes."""
        tried = {name: self._tried(model.groups.of(name).size, size) for name, size in sizes.items()}
        groups = [model.groups.of(name) for name, numbers in tried.items() if len(numbers) > 1]
        evidence = self._evidence(model, groups)
        places = {name: self._places(name, own, tried[name][-1]) for name, own in evidence.items()}
        table = self._table(model, groups, evidence, places, tried)
        numbers = best_numbers(table, lambda found: _price_of(model, found, self._settings.price), limit)
        return {name: _staying(places[name], number) for name, number in numbers.items() if number < tried[name][0]}

    def _tried(self, now: int, first: int) -> list[int]:
        """The numbers of channels, falling, that a group of `now` is tried with in a step, which had `first`."""
        multiple, least = self._settings.multiple, _least(first, self._settings.multiple)
        most = max(int(_MOST_OF_A_GROUP * self._settings.stride * first), 1)
        parts = max(round(most / (_APART * first)), 1)
        wanted = [now - most * part // parts for part in range(1, parts + 1)]
        return sorted({now, *(min(now, max(number // multiple * multiple, least)) for number in wanted)}, reverse=True)

    def _evidence(self, model: Model, groups: Sequence[Group]) -> dict[str, list[System]]:
        sampler, seed = model.sampler(self._feed), self._settings.seed
        contexts = [Context(model.groups, group, sampler, np.random.default_rng(seed)) for group in groups]
        measured = measure_all(contexts, self._settings.fit.places)
        return dict(zip((group.name for group in groups), measured))

    def _places(self, name: str, systems: Sequence[System], fewest: int) -> np.ndarray:
        """At which place each unit of a group leaves: the last component of a turned trunk first, else by `obs`."""
        return np.arange(systems[0].size)[::-1] if name in self._trunks else choose(systems, fewest)[1]

    @cached_property
    def _reference(self) -> np.ndarray:
        return outputs_of(self._original, self._test)

    def _table(
        self,
        model: Model,
        groups: Sequence[Group],
        evidence: Mapping[str, Sequence[System]],
        places: Mapping[str, np.ndarray],
        tried: Mapping[str, Sequence[int]],
    ) -> dict[str, list[Cut]]:
        """{group: its Cuts}, of those tried and the numbers between them."""
        trials, price = Trials(model, groups, self._test, self._reference), self._settings.price
        now, costs = cosine_distance(outputs_of(model, self._test), self._reference), price(model.net)
        table = {}
        for group in groups:
            cuts = [Cut(group.size, costs, 0.0)]
            for number in tried[group.name][1:]:
                lost = trials.loss(group, evidence[group.name], _staying(places[group.name], number)) - now
                cuts.append(Cut(number, _price_of(model, {group.name: number}, price), lost))
            table[group.name] = between(cuts, self._settings.multiple)
        return table

    def _written(self, model: Model, kept: dict[str, np.ndarray], limit: float, name: str) -> Step:
        folder = self._folder / name
        model.save(folder)
        loss = cosine_distance(outputs_of(model, self._test), self._reference)
        held = {group: [int(unit) for unit in own] for group, own in kept.items()}
        return Step(str(folder), limit, self._settings.price(model.net), *cost(model.net), loss, held)


def turned(model: Model, feed: Feed) -> Model:
    """A Model with each linear trunk turned onto its principal components over the batches of `feed`."""
    weights = model.weights
    for group in linear_trunks(model.groups):
        basis = principal_components(covariance(model.groups, group, model.sampler(feed)))
        weights = rotate(model.net, weights, model.groups, group, basis)
    return Model(model.net, weights, model.groups)


def _staying(places: np.ndarray, number: int) -> np.ndarray:
    """The `number` units of a group that stay, by the place at which each leaves."""
    return np.flatnonzero(places >= len(places) - number)


def _least(size: int, multiple: int) -> int:
    """The fewest channels that a group of `size` may keep."""
    return min(size, -(-max(size // _LEAST_LEFT, 1) // multiple) * multiple)


def _price_of(model: Model, counts: Mapping[str, int], price: Price) -> float:
    """What a Model costs when as many channels stay as {group: number} says."""
    (net,) = prune_prototxt([model.net], {name: range(number) for name, number in counts.items()}, model.groups)
    return price(net)


def _pictures(feed: Feed) -> list[str]:
    return [Path(path).name for path in feed.paths]
