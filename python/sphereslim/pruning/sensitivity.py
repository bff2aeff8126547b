"""What it costs to prune each group alone: a table of loss, MACs and parameters at several rates, and its plot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sphereslim.data.feed import Feed
from sphereslim.errors import SlimError
from sphereslim.files import ResultsFile, read_json
from sphereslim.pruning.model import Model, cost, cut_and_refit, evidence, selections
from sphereslim.pruning.reconstruct import Fit

COLUMNS = ('group', 'rate', 'kept', 'MACs', 'parameters', 'loss')


@dataclass(frozen=True)
class Row:
    """One group pruned alone: `kept` of `size` channels; the net that remains has `macs`, `parameters` and `loss`.

    `loss` is what it lost in quality by the measure of the table: 1 - cosine of outputs, or accuracy.
    """

    group: str
    rate: float
    size: int
    kept: int
    macs: int
    parameters: int
    loss: float


class SensitivityTable:
    """Rows in a ResultsFile of `subject`, which says what was measured on what: an interrupted study goes on in it."""

    def __init__(self, path: Path, subject: dict[str, Any]) -> None:
        self._kept = ResultsFile(path, subject)

    @property
    def rows(self) -> list[Row]:
        """The [Row] measured so far."""
        return [Row(**row) for row in self._kept.results.values()]

    def has(self, group: str, rate: float) -> bool:
        """Whether a measurement is there."""
        return _name(group, rate) in self._kept.results

    def add(self, row: Row) -> None:
        """Take in a row and write the file."""
        self._kept.keep(_name(row.group, row.rate), asdict(row))


def _name(group: str, rate: float) -> str:
    return f'{group} at {rate:g}'


def read_table(path: str | Path) -> tuple[list[Row], dict[str, Any]]:
    """([Row], subject) of a table's file; SlimError when it is another file."""
    values = read_json(path)
    try:
        return [Row(**row) for row in values['results'].values()], values['subject']
    except (KeyError, TypeError, AttributeError):
        raise SlimError(f'{path}: is no table of sensitivities, expected what sensitivity.py wrote') from None


def study(
    model: Model,
    table: SensitivityTable,
    rates: Sequence[float],
    criterion: str,
    loss_of: Callable[[Model], float],
    feed: Feed,
    fit: Fit | None = None,
    refitted: bool = True,
    seed: int = 0,
    progress: Callable[[list[tuple[str, float]]], Iterable[tuple[str, float]]] = iter,
) -> None:
    """Fill `table` for every prunable group at every rate, the whole net's cost in row ''.

    `loss_of` is a function (Model) -> loss; with `refitted` the readers are refitted over `feed` before.
    `progress` wraps the list of (group, rate) still to do.
    """
    if not table.has('', 1.0):
        table.add(Row('', 1.0, 0, 0, *cost(model.net), loss_of(model)))
    names = [group.name for group in model.groups.prunable()]
    measured = {}
    todo = [(name, rate) for name in names for rate in rates if not table.has(name, rate)]
    for name, rate in progress(todo) if todo else ():
        if name not in measured:
            measured = evidence(model, [name], criterion, feed, seed)
        table.add(_row(model, name, rate, criterion, measured, loss_of, feed if refitted else None, fit, seed))


def _row(
    model: Model,
    name: str,
    rate: float,
    criterion: str,
    measured: Mapping[str, Any],
    loss_of: Callable[[Model], float],
    feed: Feed | None,
    fit: Fit | None,
    seed: int,
) -> Row:
    size = model.groups.of(name).size
    chosen = selections(model, criterion, measured, {name: max(1, int(rate * size + 1e-9))}, seed)
    slimmed = cut_and_refit(model, chosen, feed, fit, seed) if chosen else model
    kept = len(chosen[0].kept) if chosen else size
    return Row(name, rate, size, kept, *cost(slimmed.net), loss_of(slimmed))
