"""Optimal brain surgeon, channel by channel: those leave whose loss their readers can best make up for.

Source: Hassibi, Stork, Second order derivatives for network pruning: Optimal Brain Surgeon, NIPS 1992; layer by layer
as Dong, Chen, Pan, Learning to Prune Deep Neural Networks via Layer-wise Optimal Brain Surgeon, NIPS 2017, here with
all weights of a channel at once. A reader with the weights W sees the inputs x, H = Σ xxᵀ. When the inputs S are
removed and the others refitted by least squares, the squared error of its outputs grows by tr(W_Sᵀ ((H⁻¹)_SS)⁻¹ W_S).
The channel of least growth leaves, W and H⁻¹ are brought up to date, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sphereslim.channels.groups import Member
from sphereslim.criteria.context import Context
from sphereslim.criteria.contributions import contributions, inputs_of, readers_in
from sphereslim.criteria.criterion import Criterion
from sphereslim.sampling.least_squares import LARGEST_SYSTEM, NormalEquations
from sphereslim.sampling.linear_layer import LinearLayer, is_linear

_RIDGE = 1e-4  # relative to the mean of H's diagonal: keeps H⁻¹ in bounds where there are fewer samples than inputs


@dataclass(frozen=True, eq=False)
class System:
    """A reader's `products` H (inputs × inputs), `weights` W (inputs × outputs) and the group's unit of each input.

    Inputs of unit -1, as the bias, stay. `size`: the units of the group, of which a reader may read only some.
    `reader` is the layer that holds these weights, '' where they only stand for what channels add to outputs.
    """

    products: np.ndarray
    weights: np.ndarray
    units: np.ndarray
    size: int
    reader: str = ''


def measure(context: Context, places: int) -> list[System]:
    """A System per reader, and per group of a grouped convolution, from `places` random outputs per picture.

    Where a reader has too many inputs for that, or is no convolution or inner product, each channel has a single weight
    for the whole of what it adds to an output, as in LASSO channel pruning.
    """
    return measure_all([context], places)[0]


def measure_all(contexts: Sequence[Context], places: int) -> list[list[System]]:
    """What `measure` gives of every context, from a single pass; they have one sampler."""
    members = [readers_in(context) for context in contexts]
    sums = [_Sums(context, own) if _are_small(context, own) else None for context, own in zip(contexts, members)]
    gathered = [(total, own) for total, own in zip(sums, members) if total]
    for blobs in inputs_of(contexts[0], [member for _, own in gathered for member in own]) if gathered else ():
        left = iter(blobs)
        for total, own in gathered:
            total.add([next(left) for _ in own], places)
    return [total.systems() if total else _by_contributions(context, places) for total, context in zip(sums, contexts)]


def _are_small(context: Context, members: Sequence[Member]) -> bool:
    """Whether all readers are such that XᵀX can be gathered."""
    trace, net = context.groups.trace, context.sampler.net
    if not all(is_linear(trace, m.layer) for m in members):
        return False
    matrices = [matrix for m in members for matrix in LinearLayer(trace, m.layer, net).matrices()]
    return max(map(len, matrices)) <= LARGEST_SYSTEM


class _Sums:
    """The products of what a group's readers read, while batches come by."""

    def __init__(self, context: Context, members: Sequence[Member]) -> None:
        self._context, self._members = context, members
        self._layers = [LinearLayer(context.groups.trace, m.layer, context.sampler.net) for m in members]
        self._starts = [layer.matrices() for layer in self._layers]
        self._sums = [[NormalEquations(len(matrix), 0) for matrix in start] for start in self._starts]

    def add(self, blobs: Sequence[Sequence[np.ndarray]], places: int) -> None:
        """Take in what each reader reads, a list of blobs."""
        for layer, equations, read in zip(self._layers, self._sums, blobs):
            for blob in read:
                for equation, x in zip(equations, layer.read(blob, places, self._context.rng)[0]):
                    equation.add(x, np.zeros((len(x), 0)))

    def systems(self) -> list[System]:
        """A System per reader and group of it."""
        return [
            System(
                equation.products, matrix, _units(member, layer, len(matrix)), self._context.group.size, member.layer
            )
            for member, layer, start, equations in zip(self._members, self._layers, self._starts, self._sums)
            for matrix, equation in zip(start, equations)
        ]


def _by_contributions(context: Context, places: int) -> list[System]:
    grams = contributions(context, places).values()
    return [System(gram, np.ones((len(gram), 1)), np.arange(len(gram)), len(gram)) for gram in grams]


def _units(member: Member, layer: LinearLayer, rows: int) -> np.ndarray:
    """The unit of each row of the layer's matrices: a channel's are neighbours, what is added comes last."""
    extra = 0 if layer.added() is None else 1
    return np.append(np.repeat(member.units, (rows - extra) // len(member.units)), [-1] * extra)


def choose(systems: Sequence[System], keep: int) -> tuple[np.ndarray, np.ndarray]:
    """The `keep` units that stay, ascending, and as scores the step at which each left."""
    size = systems[0].size
    states = [_State(system) for system in systems]
    order = np.full(size, size, float)
    for step in range(size - keep):
        growth = sum(state.growth() for state in states)
        out = int(np.argmin(np.where(order == size, growth, np.inf)))
        order[out] = step
        for state in states:
            state.remove(out)
    return np.flatnonzero(order == size), order


def without(system: System, kept: Sequence[int] | np.ndarray) -> np.ndarray:
    """A reader's weights (inputs × outputs) when only the units `kept` stay: zero for the others, the rest refitted."""
    stays = (system.units < 0) | np.isin(system.units, kept)
    result = np.zeros_like(system.weights)
    products = system.products[np.ix_(stays, stays)]
    penalty = _RIDGE * np.trace(system.products) / len(system.products) or 1.0
    given = system.products[stays] @ system.weights + penalty * system.weights[stays]
    result[stays] = np.linalg.solve(products + penalty * np.eye(len(products)), given)
    return result


class _State:
    """H⁻¹ and W of a system while units leave; growth is relative to that of all leaving: readers weigh alike."""

    def __init__(self, system: System) -> None:
        found = [np.flatnonzero(system.units == unit) for unit in range(system.size)]
        width, count = max(map(len, found)), len(system.units)
        # units of fewer inputs than others are filled up with inputs of no weight, one for each place
        self._places = count + np.tile(np.arange(width), (system.size, 1))
        for unit, own in enumerate(found):
            self._places[unit, : len(own)] = own
        penalty = _RIDGE * np.trace(system.products) / count or 1.0
        self._inverse = np.eye(count + width)
        self._inverse[:count, :count] = np.linalg.inv(system.products + penalty * np.eye(count))
        self._weights = np.concatenate([system.weights, np.zeros((width, system.weights.shape[1]))])
        inside = np.flatnonzero(system.units >= 0)
        whole = self._weights[inside] * np.linalg.solve(self._inverse[np.ix_(inside, inside)], self._weights[inside])
        self._weights /= np.sqrt(whole.sum()) or 1.0

    def growth(self) -> np.ndarray:
        """What the removal of each unit adds to the error."""
        blocks = np.linalg.inv(self._inverse[self._places[:, :, None], self._places[:, None]])
        weights = self._weights[self._places]
        return (weights * (blocks @ weights)).sum(axis=(1, 2))

    def remove(self, unit: int) -> None:
        """Take a unit's inputs out, the others' weights refitted."""
        own = self._places[unit][self._places[unit] < len(self._inverse) - self._places.shape[1]]
        share = self._inverse[:, own] @ np.linalg.inv(self._inverse[np.ix_(own, own)])
        self._weights -= share @ self._weights[own]
        self._inverse -= share @ self._inverse[own]
        self._inverse[own], self._inverse[:, own], self._weights[own] = 0, 0, 0
        self._inverse[own, own] = 1


CRITERION = Criterion(
    'obs', 'Dong et al., Layer-wise Optimal Brain Surgeon, NIPS 2017', measure, choose, options={'places': 60}
)
