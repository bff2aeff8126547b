"""How small one model can be made: goals of size and accuracy, each pursued by `compress`, and what is reached.

Every goal has a folder of `compress` for each seed. Figures are kept in results.json with the command that made them;
a goal whose command is another one since is pursued again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sphereslim.compression.budgets import Budgets
from sphereslim.compression.files import command_of
from sphereslim.compression.request import Request
from sphereslim.compression.run import compress
from sphereslim.evaluation.paired import lost_text
from sphereslim.files import ResultsFile
from sphereslim.report.cells import ANALYTIC, MEASURED, ReportCell, ReportTable, accuracy_text

MARKS = ('<!-- goals: written by sphereslim goals -->', '<!-- end of goals -->')
NOTE = (
    'Lost: points against the original, with the standard error over the same pairs. CPU minutes: of choosing '
    'channels, refitting, training and rounding, without the verification.'
)

Result = dict[str, Any]  # stored figures of a goal and a seed


@dataclass(frozen=True)
class Goal:
    """A smaller net to make, and what is asked of it: accuracies in percent and points lost, by name of the pairs.

    `page` is the file that its row is written into, in a folder of pages.
    """

    key: str
    title: str
    page: str
    budgets: Budgets
    train_minutes: float = 0.0
    seed: int = 0
    at_least: Mapping[str, float] = field(default_factory=dict)
    lost_at_most: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The folder of the goal, and what its figures are kept as."""
        return f'{self.key}-seed-{self.seed}'

    def aims(self) -> str:
        """What is asked, in words."""
        words = [f'{name} at least {value:g} %' for name, value in self.at_least.items()]
        return ', '.join([*words, *(f'{name} loses at most {value:g}' for name, value in self.lost_at_most.items())])

    def shortfalls(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
        """What is missing, in words, of verification results {name: …} of the original and of the smaller net."""
        missing = [(name, value - after[name]['accuracy']) for name, value in self.at_least.items()]
        for name, value in self.lost_at_most.items():
            missing.append((name, before[name]['accuracy'] - after[name]['accuracy'] - value))
        return [f'{name} {points:.2f}' for name, points in missing if points > 1e-9]


def pursue(goal: Goal, base: Request, known: ResultsFile, tell: Callable[[str], object]) -> Result:
    """The Result of a Goal, made where it is not known: as the Request `base` says, in a folder of its `out`."""
    request = replace(
        base,
        out=base.out / goal.name,
        budgets=goal.budgets,
        train_minutes=goal.train_minutes,
        seed=goal.seed,
    )
    command = command_of(request)
    stored = known.results.get(goal.name)
    if stored is None or stored['command'] != command:
        tell(f'{goal.title}, seed {goal.seed}')
        found = compress(request, tell)
        stored = {
            'command': command,
            'original': found['rows'][0],
            'net': _made(goal, found['rows']),
            'cpu_seconds': {part: used for part, used in found['cpu_seconds'].items() if part != 'measuring'},
        }
        known.keep(goal.name, stored)
    return dict(stored)


def _made(goal: Goal, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of the net that a goal is about: in fewer bits only where bytes are asked for."""
    return rows[-1] if goal.budgets.bytes else rows[-2]


def tables(goals: Sequence[Goal], results: Mapping[str, Result]) -> dict[str, list[ReportTable]]:
    """{page: what is reached of its goals, and the commands}, of the goals that have a Result."""
    pages: dict[str, list[ReportTable]] = {}
    for page in dict.fromkeys(goal.page for goal in goals):
        there = [(goal, results[goal.name]) for goal in goals if goal.page == page and goal.name in results]
        if there:
            pages[page] = [_reached(there), _commands(there)]
    return pages


def _reached(there: Sequence[tuple[Goal, Result]]) -> ReportTable:
    sets = list(there[0][1]['original']['accuracies'])
    columns = ['net', 'seed', 'MACs', 'bytes', 'CPU minutes']
    columns += [word for name in sets for word in (name, 'lost')]
    whole = there[0][1]['original']
    first = [*map(ReportCell, ('original', '')), *_sizes(whole, whole), ReportCell('')]
    first += [cell for name in sets for cell in (_accuracy(whole, name), ReportCell(''))]
    rows = [[*first, ReportCell(''), ReportCell('')]]
    for goal, result in there:
        rows.append(list(_row(goal, result, sets)))
    return ReportTable('Goals', [*columns, 'asked', 'missing'], rows, NOTE)


def _row(goal: Goal, result: Result, sets: Sequence[str]) -> Iterator[ReportCell]:
    whole, net = result['original'], result['net']
    yield from (ReportCell(goal.title), ReportCell(str(goal.seed)), *_sizes(net, whole))
    yield ReportCell(f'{sum(result["cpu_seconds"].values()) / 60:.1f}', MEASURED)
    for name in sets:
        yield _accuracy(net, name)
        yield ReportCell(lost_text(whole['accuracies'][name], net['accuracies'][name]), MEASURED)
    missing = goal.shortfalls(whole['accuracies'], net['accuracies'])
    yield from (ReportCell(goal.aims()), ReportCell(', '.join(missing) or 'nothing'))


def _sizes(net: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[ReportCell]:
    yield ReportCell(f'{100 * net["macs"] / whole["macs"]:.1f} %', ANALYTIC)
    yield ReportCell(f'{net["bytes"]:,}', MEASURED)


def _accuracy(net: Mapping[str, Any], name: str) -> ReportCell:
    found = net['accuracies'][name]
    return ReportCell(accuracy_text(found['accuracy'], found['error']), MEASURED)


def _commands(there: Sequence[tuple[Goal, Result]]) -> ReportTable:
    rows = [
        [ReportCell(f'{goal.title}, seed {goal.seed}'), ReportCell(f'`{result["command"]}`')] for goal, result in there
    ]
    return ReportTable('Commands', ['net', 'made by'], rows)
