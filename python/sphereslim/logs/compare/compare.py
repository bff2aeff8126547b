"""From files to a comparison: read sources, pair their trainings, judge every curve that both have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sphereslim.logs.compare.lambda_schedule import check_lambdas, published_heads
from sphereslim.logs.compare.lr_schedule import check_rate
from sphereslim.logs.compare.nets import difference
from sphereslim.logs.compare.published_curves import read_figure
from sphereslim.logs.compare.verdict import compare, times_to_reach
from sphereslim.logs.lines import LogError
from sphereslim.logs.parser import parse_log
from sphereslim.logs.trainings import LoggedTraining, rate_steps, trainings


@dataclass
class Pair:
    """A published training beside ours: `verdicts` as of verdict.compare, `times` as of verdict.times_to_reach.

    `nets` says how their nets differ, as far as the logs tell.
    """

    published: LoggedTraining
    ours: LoggedTraining
    breaks: list
    verdicts: list
    times: list
    nets: str


def read_source(name: str | Path) -> list[LoggedTraining]:
    """The trainings of a source: a log, a folder of stages (*/train.log in order), a csv of curves, `csv:column`."""
    path, column = Path(name), None
    if not path.exists() and ':' in str(name):
        begin, column = str(name).rsplit(':', 1)
        path = Path(begin)
    if path.suffix == '.csv':
        return read_figure(path, column)
    if not path.exists():
        raise LogError(f'{name}: no such file, expected a log, a folder of stages or a csv of curves')
    found = [training for log, label in _logs(path) for training in trainings(parse_log(log), label)]
    chosen = [training for training in found if column is None or _told_by(column, training.names)]
    if not chosen:
        raise LogError(f'{name}: no such stage, expected one of {", ".join(training.label for training in found)}')
    return chosen


def pair(
    published: Sequence[LoggedTraining], ours: Sequence[LoggedTraining]
) -> list[tuple[LoggedTraining, LoggedTraining]]:
    """[(published, ours)]: by name where every published name is found once in ours, else in order when there are
    equally many, else every one with every one."""
    named = [(theirs, mine) for mine in ours if (theirs := _namesake(mine, published))]
    if named:
        return named
    if len(published) == len(ours):
        return list(zip(published, ours))
    return [(theirs, mine) for mine in ours for theirs in published]


def judge(
    published: LoggedTraining,
    ours: LoggedTraining,
    relative: float,
    levels: Sequence[Any] | tuple[Any, ...],
    checkpoints: int,
) -> Pair:
    """The Pair of two trainings, all quantities that both show."""
    breaks = sorted({*rate_steps(published), *rate_steps(ours)})
    common = [name for name in published.curves if name in ours.curves]
    verdicts = [compare(published.curves[name], ours.curves[name], breaks, relative, checkpoints) for name in common]
    times = []
    if any(verdict['quantity'] == 'loss' and verdict['overlap'] for verdict in verdicts):
        times = times_to_reach(published.curves['loss'], ours.curves['loss'], breaks, levels)
    return Pair(published, ours, breaks, verdicts, times, difference(published, ours))


def self_checks(training: LoggedTraining, published_folder: Path) -> list[dict[str, Any]]:
    """[{'run', 'quantity', 'verdict', 'text', ...}]: what each run of a log says against its own header."""
    heads = published_heads(published_folder)
    checks = []
    for place, run in enumerate(training.runs, 1):
        checks.append({'run': place, 'quantity': 'lr', **check_rate(run)})
        checks += [{'run': place, 'quantity': 'lambda', **check} for check in check_lambdas(run, heads)]
    return checks


def _logs(path: Path) -> list[tuple[Path, str]]:
    if not path.is_dir():
        # Every stage's log is called train.log: its folder tells them apart.
        return [(path, f'{path.resolve().parent.name}/{path.name}' if path.name == 'train.log' else path.name)]
    logs = sorted([*path.glob('*/train.log'), *path.glob('train.log')])
    if not logs:
        raise LogError(f'{path}: no train.log in this folder or in the folders of its stages')
    return [(log, f'{path.name}/{log.parent.name}' if log.parent != path else path.name) for log in logs]


def _namesake(training: LoggedTraining, published: Sequence[LoggedTraining]) -> LoggedTraining | None:
    """The published one whose whole name stands in the names of ours; the longest, so conv4_1-ADD before conv4_1."""
    told = [one for one in published if not one.runs and _told_by(one.names, training.names)]
    return max(told, key=lambda one: len(one.names), default=None)


def _told_by(name: str, names: str) -> bool:
    """Whether `name` stands in `names` as a whole word, case and kind of separator aside."""
    whole, part = (re.sub(r'[\W_]+', ' ', text.lower()).strip() for text in (names, name))
    return f' {part} ' in f' {whole} '
