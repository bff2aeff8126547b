"""How small one model can be made: runs of `compress`, and which goals of size and accuracy their nets reach.

Every run has a folder of `compress` for each seed. Figures are kept in results.json with the command that made them; a
run whose command is another one since is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sphereslim.compression.budgets import Budgets
from sphereslim.compression.files import command_of
from sphereslim.compression.request import Request
from sphereslim.compression.run import DISTILLED, IN_FEWER_BITS, REFITTED, compress
from sphereslim.evaluation.paired import lost_text
from sphereslim.files import ResultsFile
from sphereslim.report.cells import ANALYTIC, MEASURED, ReportCell, ReportTable, accuracy_text

MARKS = ('<!-- goals: written by sphereslim goals -->', '<!-- end of goals -->')
NOTE = (
    'Lost: points against the original, with the standard error over the same pairs. CPU minutes: of choosing '
    'channels, refitting, training and rounding, without the verification.'
)

Result = dict[str, Any]  # stored figures of a run


@dataclass(frozen=True)
class Goal:
    """What is asked of a net of a run: accuracies in percent and points lost, by name of the pairs.

    `net` is one of `compression.run.NETS`; `page` is the file that the row is written into, in a folder of pages.
    """

    net: str
    title: str
    page: str
    at_least: Mapping[str, float] = field(default_factory=dict)
    lost_at_most: Mapping[str, float] = field(default_factory=dict)

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

    def minutes(self, cpu_seconds: Mapping[str, float]) -> float:
        """CPU minutes of the parts of a run that the net takes."""
        return sum(used for part, used in cpu_seconds.items() if part != 'fewer bits' or self.net == IN_FEWER_BITS) / 60


@dataclass(frozen=True)
class Run:
    """One `compress` with a seed, and the goals that its nets are held against."""

    key: str
    goals: tuple[Goal, ...]
    budgets: Budgets
    train_minutes: float = 0.0
    seed: int = 0

    @property
    def name(self) -> str:
        """The folder of the run, and what its figures are kept as."""
        return f'{self.key}-seed-{self.seed}'

    def has(self, net: str) -> bool:
        """Whether the run makes a net of that name."""
        fewer_channels = bool(self.budgets.macs or self.budgets.parameters)
        made = {REFITTED: fewer_channels, DISTILLED: fewer_channels and self.train_minutes > 0, IN_FEWER_BITS: True}
        return made[net]


def pursue(run: Run, base: Request, known: ResultsFile, tell: Callable[[str], object]) -> Result:
    """The Result of a Run, made where it is not known: as the Request `base` says, in a folder of its `out`."""
    request = replace(
        base, out=base.out / run.name, budgets=run.budgets, train_minutes=run.train_minutes, seed=run.seed
    )
    command = command_of(request)
    stored = known.results.get(run.name)
    if stored is None or stored['command'] != command:
        tell(run.name)
        found = compress(request, tell)
        stored = {
            'command': command,
            'rows': found['rows'],
            'cpu_seconds': {part: used for part, used in found['cpu_seconds'].items() if part != 'measuring'},
        }
        known.keep(run.name, stored)
    return dict(stored)


def tables(runs: Sequence[Run], results: Mapping[str, Result]) -> dict[str, list[ReportTable]]:
    """{page: what is reached of its goals, and the commands}, of the runs that have a Result."""
    pages: dict[str, list[tuple[Goal, Run]]] = {}
    for run in runs:
        for goal in run.goals if run.name in results else ():
            pages.setdefault(goal.page, []).append((goal, run))
    return {page: [_reached(there, results), _commands(there, results)] for page, there in pages.items()}


def _reached(there: Sequence[tuple[Goal, Run]], results: Mapping[str, Result]) -> ReportTable:
    whole = results[there[0][1].name]['rows'][0]
    sets = list(whole['accuracies'])
    columns = ['net', 'seed', 'MACs', 'bytes', 'CPU minutes']
    columns += [word for name in sets for word in (name, 'lost')]
    first = [*map(ReportCell, ('original', '')), *_sizes(whole, whole), ReportCell('')]
    first += [cell for name in sets for cell in (_accuracy(whole, name), ReportCell(''))]
    rows = [[*first, ReportCell(''), ReportCell('')]]
    rows += [list(_row(goal, run, results[run.name], sets)) for goal, run in there]
    return ReportTable('Goals', [*columns, 'asked', 'missing'], rows, NOTE)


def _row(goal: Goal, run: Run, result: Result, sets: Sequence[str]) -> Iterator[ReportCell]:
    whole, net = result['rows'][0], next(row for row in result['rows'] if row['name'] == goal.net)
    yield from (ReportCell(goal.title), ReportCell(str(run.seed)), *_sizes(net, whole))
    yield ReportCell(f'{goal.minutes(result["cpu_seconds"]):.1f}', MEASURED)
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


def _commands(there: Sequence[tuple[Goal, Run]], results: Mapping[str, Result]) -> ReportTable:
    made = {run.name: results[run.name]['command'] for _, run in there}
    rows = [[ReportCell(name), ReportCell(f'`{command}`')] for name, command in made.items()]
    return ReportTable('Commands', ['run', 'made by'], rows)
