"""The steps of a study; every result is kept in results.json, and what is there is not computed again."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sphereslim.channels.groups import Groups
from sphereslim.data.feed import Feed
from sphereslim.data.pairs import PairSet
from sphereslim.data.preparation import InputForm
from sphereslim.errors import SlimError
from sphereslim.evaluation.verification import evaluate
from sphereslim.files import ResultsFile, read_json, write_json
from sphereslim.pruning.allocation import Curve, allocate_channels
from sphereslim.pruning.measures import OutputShift
from sphereslim.pruning.model import Model, cost, cost_of_counts, cut_and_refit, evidence, selections
from sphereslim.pruning.reconstruct import Fit
from sphereslim.pruning.selection import Selection
from sphereslim.pruning.shrink_to_budget import Settings, Shrinking, Step
from sphereslim.rewrite.fold import fold


@dataclass(frozen=True, eq=False)
class Study:
    """`model` is pruned in `folder`: `fit_feed` is what criteria and refits see, `test_feed` what shifts are taken on.

    `pairs` and `pictures` are the verification, `few` a shorter pairs file for the table of all criteria, and the best
    nets are verified on `more_sets` as well. `curves` are the groups' Curves that allocate every budget, `fit` and
    `fit_more` how the table's and the best nets are refitted.
    """

    folder: Path
    model: Model
    pairs: Path
    few: Path
    pictures: Path
    form: InputForm
    fit_feed: Feed
    test_feed: Feed
    curves: dict[str, Curve]
    fit: Fit = Fit()
    fit_more: Fit = Fit()
    seed: int = 0
    batch: int = 32
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter
    more_sets: Sequence[PairSet] = ()
    _measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    _shift: list[OutputShift] = field(default_factory=list)

    def original(self) -> dict[str, Any]:
        """The whole model's result on all pairs and on the few."""
        return self._kept('original', lambda: self._result(self.model, self.few) | self._all(self.model))

    def counts(self, budget: float, uniform: bool = False) -> dict[str, int]:
        """{group: channels kept} for a share of the MACs: allocated by sensitivity, or one rate for all groups."""
        path = self.folder / f'counts-{percent(budget)}{"-uniform" if uniform else ""}.json'
        if not path.is_file():
            limit = budget * cost(self.model.net)[0]
            write_json(path, self._uniform(limit) if uniform else allocate_channels(self.model, self.curves, limit))
        return read_json(path)

    def one_shot(self, criterion: str, budget: float, refitted: bool, uniform: bool = False) -> dict[str, Any]:
        """The result of cutting by a criterion, with or without refitting."""
        name = '-'.join([criterion, percent(budget), 'refitted' if refitted else 'cut', *(['uniform'] * uniform)])
        about = {'criterion': criterion, 'budget': budget, 'refitted': refitted, 'uniform': uniform}
        return self._kept(
            name,
            lambda: about
            | self._result(self._pruned(criterion, budget, self.fit_feed if refitted else None, uniform), self.few),
        )

    def headline(self, criterion: str, budget: float, feed: Feed) -> dict[str, Any]:
        """The refitted model of a criterion, written to a folder of its own, and its result on all pairs.

        It is refitted by `fit_more` over `feed`, which may hold more pictures than the table had.
        """
        folder = self.folder / f'refitted-{percent(budget)}'

        def compute() -> dict[str, Any]:
            slimmed = cut_and_refit(
                self.model, self._chosen(criterion, budget, False), feed, self.fit_more, self.seed, every=True
            )
            slimmed.save(folder)
            return (
                {'criterion': criterion, 'budget': budget, 'folder': str(folder)}
                | self._costs(slimmed)
                | {'shift': self._distance(slimmed)}
                | self._all(slimmed)
            )

        return self._kept(f'headline-{percent(budget)}', compute)

    def stepwise(self, budgets: Sequence[float], feed: Feed) -> Iterator[dict[str, Any]]:
        """The result on all pairs of the model made smaller step by step, at each share of the MACs.

        The model is folded before, so that its trunks can be turned, and refitted at last by `fit_more` over `feed`.
        """
        folded = fold(self.model.net, self.model.weights)
        model = Model(folded.net, folded.weights, Groups(folded.net))
        settings = Settings(fit=self.fit, seed=self.seed)
        shrinking = Shrinking(model, self.fit_feed, self.test_feed, self.folder / 'steps', settings)
        limits = {budget * cost(model.net)[0]: budget for budget in budgets}
        for step in shrinking.steps(list(limits)):
            if step.limit in limits:
                yield self._stepwise_result(limits[step.limit], shrinking.refined(step, feed, self.fit_more))

    def _stepwise_result(self, budget: float, step: Step) -> dict[str, Any]:
        model, about = step.model(), {'budget': budget, 'folder': step.folder, 'kept': step.kept}
        return self._kept(
            f'stepwise-{percent(budget)}',
            lambda: about | self._costs(model) | {'shift': self._distance(model)} | self._all(model),
        )

    def final(self, name: str, budget: float, model: Model, more: dict[str, Any]) -> dict[str, Any]:
        """The result of a model that training ended with, on all pairs, with the values `more`."""
        return self._kept(
            name,
            lambda: {'budget': budget}
            | more
            | self._costs(model)
            | {'shift': self._distance(model)}
            | self._all(model),
        )

    def results(self) -> dict[str, Any]:
        """{name: result} of all that is known."""
        return ResultsFile(self.folder / 'results.json').results

    def _kept(self, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return ResultsFile(self.folder / 'results.json').result(name, compute)

    def _pruned(self, criterion: str, budget: float, feed: Feed | None, uniform: bool) -> Model:
        return cut_and_refit(
            self.model, self._chosen(criterion, budget, uniform), feed, self.fit, self.seed, every=True
        )

    def _chosen(self, criterion: str, budget: float, uniform: bool) -> list[Selection]:
        return selections(self.model, criterion, self._evidence(criterion), self.counts(budget, uniform), self.seed)

    def _evidence(self, criterion: str) -> dict[str, Any]:
        """What a criterion measured of all groups; only the last criterion's is kept in memory."""
        if criterion not in self._measured:
            self._measured.clear()
            names = [group.name for group in self.model.groups.prunable()]
            self._measured[criterion] = evidence(self.model, names, criterion, self.fit_feed, self.seed)
        return self._measured[criterion]

    def _uniform(self, limit: float) -> dict[str, int]:
        sizes = {group.name: group.size for group in self.model.groups.prunable()}
        for step in range(99, 0, -1):
            counts = {name: max(1, size * step // 100) for name, size in sizes.items()}
            if cost_of_counts(self.model, counts)[0] <= limit:
                return counts
        raise SlimError(f'no uniform rate leaves less than {limit:,.0f} MACs')

    def _result(self, model: Model, pairs: Path) -> dict[str, Any]:
        return self._costs(model) | {'shift': self._distance(model), 'few': self._accuracy(model, pairs)}

    def _costs(self, model: Model) -> dict[str, int]:
        return dict(zip(('macs', 'parameters'), cost(model.net)))

    def _distance(self, model: Model) -> float:
        if not self._shift:
            self._shift.append(OutputShift(self.model, self.test_feed))
        return self._shift[0](model)

    def _all(self, model: Model) -> dict[str, Any]:
        """Results on all pairs, and by name on each of the further sets."""
        more = {each.name: self._accuracy(model, each.pairs, each.pictures) for each in self.more_sets}
        return {'all': self._accuracy(model, self.pairs)} | ({'sets': more} if more else {})

    def _accuracy(self, model: Model, pairs: Path, pictures: Path | None = None) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            return evaluate(
                *model.save(folder),
                pairs,
                pictures or self.pictures,
                form=self.form,
                mirror=False,
                batch=self.batch,
                progress=self.progress,
            ).as_dict()


def percent(budget: float) -> str:
    """A share in percent, for names: 0.7 is '70', 0.705 is '70.5'."""
    return f'{100 * budget:g}'
