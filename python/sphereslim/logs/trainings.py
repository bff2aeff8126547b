"""Join the runs of logs into trainings: one training each, resumed runs together, with its curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.logs import textformat
from sphereslim.logs.curves import Curve, steps
from sphereslim.logs.run import ITERATION_OF_STATE, Run
from sphereslim.logs.table import LogTable

QUANTITIES = ('loss', 'lambda', 'inter-class distance', 'lr', 'accuracy', 'test loss', 'test accuracy')


@dataclass
class LoggedTraining:
    """One training, from a log or from a published figure.

    label    its name for readers; names: every text that may tell which training it is
    curves   {quantity: Curve}, quantities as in QUANTITIES, further outputs by their own name
    runs     the Runs it consists of, [] for a figure
    """

    label: str
    names: str
    curves: dict[str, Curve]
    runs: list[Run] = field(default_factory=list)


def trainings(runs: Sequence[Run], label: str) -> list[LoggedTraining]:
    """The trainings in `runs` (one log's, or those of several logs one after another), called after `label`.

    A run goes on with the training before it when it restores one of its states, starts past iteration 0 or starts
    again from the same weights before that training was finished; what it repeats replaces what stood there.
    """
    groups: list[list[Run]] = []
    for run in runs:
        if not run.rows:
            continue
        group = next((group for group in reversed(groups) if _continues(run, group)), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    labels = _labels(groups, label)
    return [LoggedTraining(name, _names(group, label), _curves(group), group) for name, group in zip(labels, groups)]


def rate_steps(training: LoggedTraining) -> list[int]:
    """Iterations from which a training's rate is another by a quarter or more (not the small ones of inv or poly)."""
    if 'lr' not in training.curves:
        return []
    return [after for _, after, factor in steps(training.curves['lr']) if not 0.8 < factor < 1.25]


def _continues(run: Run, group: Sequence[Run]) -> bool:
    last = group[-1]
    if _restores(run, last):
        return True
    known = [_identity(run), _identity(last)]
    if any(known[0]) and any(known[1]) and known[0] != known[1]:
        return False
    if run.start is not None and run.start > 0:
        return True
    return any(known[0]) and not any(one.done for one in group) and run.weights == group[0].weights


def _restores(run: Run, last: Run) -> bool:
    """Whether a run starts from a state of `last`; its net may be another file, with counters moved on."""
    state, prefix = run.resumed_from or '', textformat.one(last.solver, 'snapshot_prefix')
    return run.name == last.name and bool(prefix) and ITERATION_OF_STATE.sub('', state) == prefix


def _identity(run: Run) -> tuple[str, ...]:
    solver = [textformat.one(run.solver, key, '') for key in ('snapshot_prefix', 'net', 'train_net')]
    return run.name, *solver


def _labels(groups: Sequence[list[Run]], label: str) -> list[str]:
    if len(groups) == 1:
        return [label]
    own = [_own_label(group[0]) for group in groups]
    return [
        f'{label} {name}' if name and own.count(name) == 1 else f'{label} stage {place}'
        for place, name in enumerate(own, 1)
    ]


def _own_label(run: Run) -> str:
    """What tells one training from another: the snapshots' name, else the net's file, else its name."""
    for key in ('snapshot_prefix', 'net', 'train_net'):
        path = textformat.one(run.solver, key)
        if path:
            return '/'.join(part for part in Path(path).parts[-2:] if part not in ('/', '.', '..'))
    return run.name


def _names(group: Sequence[Run], label: str) -> str:
    return ' '.join([label, group[0].path, *_identity(group[0])])


def _curves(group: Sequence[Run]) -> dict[str, Curve]:
    parts: dict[str, list[Any]] = {}
    elapsed = _elapsed(group)
    for run, table, end, offset in elapsed:
        for quantity, name, output in _quantities(run, table):
            rows, values = table.series(name, output)
            iteration = table.iteration[rows]
            keep = iteration < end
            seconds = _seconds(table, rows) + offset
            parts.setdefault(quantity, []).append((iteration[keep], values[keep], seconds[keep]))
    order = [*[name for name in QUANTITIES if name in parts], *[name for name in parts if name not in QUANTITIES]]
    return {name: Curve(name, *(np.concatenate(part) for part in zip(*parts[name]))) for name in order}


def _elapsed(group: Sequence[Run]) -> list[tuple[Run, LogTable, float, float]]:
    """(run, table, iteration it is replaced from, seconds to add) so that training time leaves out the pauses."""
    parts: list[tuple[Run, LogTable, float, float]] = []
    offset = 0.0
    for place, run in enumerate(group):
        end = min([later.start for later in group[place + 1 :] if later.start is not None], default=np.inf)
        seconds = [
            _seconds(table, np.arange(len(table)))[table.iteration < end]
            for table in (run.train, run.test)
            if len(table)
        ]
        known = np.concatenate(seconds) if seconds else np.empty(0)
        known = known[np.isfinite(known)]
        first = known.min() if known.size else 0.0
        parts += [(run, table, end, offset - first) for table in (run.train, run.test)]
        offset += known.max() - first if known.size else 0.0
    return parts


def _seconds(table: LogTable, rows: np.ndarray) -> np.ndarray:
    known_rows, known = table.series('seconds', output=False)
    seconds = np.full(len(table), np.nan)
    seconds[known_rows] = known
    return seconds[rows]


def _quantities(run: Run, table: LogTable) -> list[tuple[str, str, bool]]:
    """(quantity, column, is an output) of the columns of a table; an only loss equal to the total is not repeated."""
    test = table is run.test
    roles = run.roles()
    found = [] if test else [('loss', 'loss', False), ('lr', 'lr', False)]
    losses = [name for name in run.train.output_names if name in run.loss_weights]
    taken = {name for name, _, _ in found}
    for name in table.output_names:
        quantity = roles.get(name, name)
        if test:
            quantity = f'test {"loss" if name in run.loss_weights else quantity}'
        elif losses == [name]:
            continue
        if quantity in taken:
            quantity = f'{quantity} ({name})'
        taken.add(quantity)
        found.append((quantity, name, True))
    return [entry for entry in found if len(table.series(entry[1], entry[2])[0])]
