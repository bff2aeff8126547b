"""From files to a comparison: read sources, pair their stages, judge every curve that both have."""

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
from sphereslim.logs.stages import Stage, rate_steps, stages


@dataclass
class Pair:
    """A published stage beside ours: `verdicts` as of verdict.compare, `times` as of verdict.times_to_reach.

    `nets` says how their nets differ, as far as the logs tell.
    """

    published: Stage
    ours: Stage
    breaks: list
    verdicts: list
    times: list
    nets: str


def read_source(name: str | Path) -> list[Stage]:
    """The stages of one source: a log, a folder of stages (its */train.log in order), a csv of curves, `csv:column`."""
    path, column = Path(name), None
    if not path.exists() and ':' in str(name):
        begin, column = str(name).rsplit(':', 1)
        path = Path(begin)
    if path.suffix == '.csv':
        return read_figure(path, column)
    if not path.exists():
        raise LogError(f'{name}: no such file, expected a log, a folder of stages or a csv of curves')
    found = [stage for log, label in _logs(path) for stage in stages(parse_log(log), label)]
    return [stage for stage in found if column is None or _told_by(column, stage.names)] or _no_stage(name, found)


def pair(published: Sequence[Stage], ours: Sequence[Stage]) -> list[tuple[Stage, Stage]]:
    """[(published stage, our stage)]: by name where every published name is found once in ours, else in order when
    there are equally many, else every one with every one."""
    named = [(theirs, mine) for mine in ours if (theirs := _namesake(mine, published))]
    if named:
        return named
    if len(published) == len(ours):
        return list(zip(published, ours))
    return [(theirs, mine) for mine in ours for theirs in published]


def judge(
    published: Stage, ours: Stage, relative: float, levels: Sequence[Any] | tuple[Any, ...], checkpoints: int
) -> Pair:
    """The Pair of two stages, all quantities that both show."""
    breaks = sorted({*rate_steps(published), *rate_steps(ours)})
    common = [name for name in published.curves if name in ours.curves]
    verdicts = [compare(published.curves[name], ours.curves[name], breaks, relative, checkpoints) for name in common]
    times = []
    if any(verdict['quantity'] == 'loss' and verdict['overlap'] for verdict in verdicts):
        times = times_to_reach(published.curves['loss'], ours.curves['loss'], breaks, levels)
    return Pair(published, ours, breaks, verdicts, times, difference(published, ours))


def self_checks(stage: Stage, published_folder: Path) -> list[dict[str, Any]]:
    """[{'run', 'quantity', 'verdict', 'text', ...}]: what each run of a log says against its own header."""
    heads = published_heads(published_folder)
    checks = []
    for place, run in enumerate(stage.runs, 1):
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


def _no_stage(name: str | Path, found: Sequence[Stage]) -> list[Stage]:
    raise LogError(f'{name}: no such stage, expected one of {", ".join(stage.label for stage in found)}')


def _namesake(stage: Stage, published: Sequence[Stage]) -> Stage | None:
    """The published stage whose whole name stands in the names of ours; the longest, so conv4_1-ADD before conv4_1."""
    told = [one for one in published if not one.runs and _told_by(one.names, stage.names)]
    return max(told, key=lambda one: len(one.names), default=None)


def _told_by(name: str, names: str) -> bool:
    """Whether `name` stands in `names` as a whole word, case and kind of separator aside."""
    whole, part = (re.sub(r'[\W_]+', ' ', text.lower()).strip() for text in (names, name))
    return f' {part} ' in f' {whole} '
