"""Fewer channels: steps of `pruning.shrink_to_budget` down to the budgets, or as far as an accuracy is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sphereslim.compression.budgets import price_of
from sphereslim.data.feed import Feed
from sphereslim.errors import SlimError
from sphereslim.files import read_json
from sphereslim.progress import bar
from sphereslim.pruning.model import Model, cost, refittable
from sphereslim.pruning.shrink_to_budget import Settings, Shrinking, Step

STRIDE = 0.05  # of the cost at first, that a step saves
CURVE = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)  # shares of the MACs
_ROUNDING = 1e-9  # within which two prices are the same


class Channels:
    """The Model with fewer channels, step by step in `folder`, judged and refitted on the pictures of two feeds."""

    def __init__(self, model: Model, feed: Feed, test: Feed, folder: Path, multiple: int, seed: int) -> None:
        self._model, self._feed, self._test, self._folder = model, feed, test, folder
        self._multiple, self._seed = multiple, seed
        self._whole = dict(zip(('macs', 'parameters'), map(float, cost(model.net))))

    def curve(self) -> Iterator[Step]:
        """Steps at the shares CURVE of the MACs, as far as they can be reached."""
        shrinking = self._shrinking({'macs': self._whole['macs']})
        least = shrinking.least_price()
        reached = [share for share in CURVE if share >= least]
        if not reached:
            raise SlimError(
                f"net '{self._model.net.name}': no choice of channels leaves less than {least:.0%} of the MACs"
            )
        yield from _on_the_way(shrinking, reached)

    def is_on_curve(self, step: Step) -> bool:
        """Whether a Step is one of the shares CURVE, and not on the way to one."""
        return any(abs(step.limit - share) < 1e-9 for share in CURVE)

    def refined(self, limits: Mapping[str, float], step: Step, feed: Feed) -> Step:
        """A Step whose layers are refitted once more, on the pictures of another feed."""
        layers = len(refittable(self._model))
        return self._shrinking(limits).refined(
            step, feed, progress=lambda names: bar(names, desc='refitting', total=layers, unit='layer')
        )

    def whole(self, limits: Mapping[str, float]) -> Model:
        """The original in the basis that the channels of the steps are numbered in."""
        return self._shrinking(limits).whole()

    def known(self, limits: Mapping[str, float]) -> list[Step]:
        """The Steps on the way to `limits` that are there."""
        path = self._folder / self._name(limits) / 'steps.json'
        return [Step(**values) for values in read_json(path)['results'].values()] if path.is_file() else []

    def within(self, limits: Mapping[str, float]) -> Step:
        """The Step that costs no more than `limits`, {macs or parameters: number}."""
        self._check_reach(limits)
        target = self._target(limits)
        *_, last = _on_the_way(self._shrinking(limits), [*self._grid(limits, target), target])
        return last

    def limits_of(self, limits: Mapping[str, float], step: Step) -> dict[str, float]:
        """The limits by which `within` gives a Step on the way to `limits` or beyond."""
        if len(limits) > 1:
            return {kind: limit * step.limit for kind, limit in limits.items()}
        kind = next(iter(limits), 'macs')
        return {kind: self._whole[kind] * step.limit}

    def tried(
        self, limits: Mapping[str, float], is_fast: Callable[[Step], bool] | None, is_kept: Callable[[Step], bool]
    ) -> tuple[list[Step], bool]:
        """(the Steps that `is_kept` holds of, whether the last is within `limits` and `is_fast` holds of it).

        Steps are tried one after another until one meets both, or one is not kept, or no smaller one exists. Without
        `limits` and `is_fast` they go on as long as they are kept.
        """
        self._check_reach(limits)
        shrinking = self._shrinking(limits)
        least, target = shrinking.least_price(), self._target(limits) if limits else 0.0
        ends_there = bool(limits) and is_fast is None
        prices = [*self._grid(limits, target), target] if ends_there else self._grid(limits, 0.0)
        kept: list[Step] = []
        for step in _on_the_way(shrinking, [price for price in prices if price >= least]):
            if not is_kept(step):
                break
            kept.append(step)
            if is_fast and (not limits or step.limit <= target * (1 + _ROUNDING)) and is_fast(step):
                return kept, True
        return kept, ends_there and bool(kept) and kept[-1].limit <= target * (1 + _ROUNDING)

    def _grid(self, limits: Mapping[str, float], above: float) -> list[float]:
        """The prices of steps of STRIDE, those above a price."""
        first = self._first(limits)
        prices = [first * (1 - STRIDE * place) for place in range(1, round(1 / STRIDE))]
        return [price for price in prices if price > above * (1 + _ROUNDING)]

    def _shrinking(self, limits: Mapping[str, float]) -> Shrinking:
        """Steps of a single kind of limit are the same whatever the limit, as it is a share of the whole."""
        limits = limits or {'macs': self._whole['macs']}
        scale = {kind: self._whole[kind] for kind in limits} if len(limits) == 1 else limits
        settings = Settings(price_of(scale), STRIDE, self._multiple, seed=self._seed)
        return Shrinking(self._model, self._feed, self._test, self._folder / self._name(limits), settings)

    def _name(self, limits: Mapping[str, float]) -> str:
        if len(limits) < 2:
            return next(iter(limits), 'macs')
        return '-'.join(f'{kind}-{limit:.0f}' for kind, limit in limits.items())

    def _target(self, limits: Mapping[str, float]) -> float:
        return next(limit / self._whole[kind] for kind, limit in limits.items()) if len(limits) == 1 else 1.0

    def _first(self, limits: Mapping[str, float]) -> float:
        return max(self._whole[kind] / limit for kind, limit in limits.items()) if len(limits) > 1 else 1.0

    def _check_reach(self, limits: Mapping[str, float]) -> None:
        for kind, limit in limits.items():
            least = self._whole[kind] * self._shrinking({kind: limit}).least_price()
            if least > limit:
                raise SlimError(
                    f"budget of {limit:,.0f} {kind}: no choice of channels of net '{self._model.net.name}' costs as "
                    f'little, expected at least {least:,.0f}'
                )


def _on_the_way(shrinking: Shrinking, targets: list[float]) -> Iterator[Step]:
    yield from shrinking.steps(targets, lambda limits: bar(limits, desc='fewer channels', unit='step'))
