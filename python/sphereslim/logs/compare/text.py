"""A comparison as plain text for a terminal, and as data for json."""

from collections.abc import Sequence
from typing import Any

from sphereslim.logs.compare.compare import Pair
from sphereslim.logs.compare.verdict import IDENTICAL
from sphereslim.logs.curves import Curve
from sphereslim.logs.run import Run
from sphereslim.logs.trainings import LoggedTraining
from sphereslim.report.text_tables import duration, text_table


def training_lines(training: LoggedTraining, checks: Sequence[dict[str, Any]]) -> list[str]:
    """What one training is and says on its own."""
    lines = [training.label]
    for place, run in enumerate(training.runs, 1):
        lines.append(f'  run {place}: {run_words(run)}')
    for name, curve in training.curves.items():
        lines.append(f'  {name}: {curve_words(curve)}')
    lines += [f'  {check["quantity"]} {check["verdict"]}: {check["text"]}' for check in checks]
    return lines


def run_words(run: Run) -> str:
    """One run in one line: net, where it starts, how it ends, how long it took."""
    name = f'{run.name}, ' if run.name else ''
    last = max(table.last_iteration or 0 for table in (run.train, run.test) if len(table))
    seconds = run.train[-1].seconds if len(run.train) else None
    took = f' in {duration(seconds)} by {run.clock}' if seconds else ''
    gpus = f', {len(run.gpus)} GPUs' if len(run.gpus) > 1 else ''
    resumed = ' (resumed)' if run.resumed_from else ''
    return f'{name}iterations {run.start}{resumed} to {last}{took}{gpus}, {run.ending}'


def curve_words(curve: Curve) -> str:
    """How many points, where, first and last value."""
    if len(curve) == 1:
        return f'{curve.value[0]:.6g} at {curve.iteration[0]:g}'
    return (
        f'{len(curve)} values at {curve.iteration[0]:g} to {curve.iteration[-1]:g}, '
        f'{curve.value[0]:.6g} to {curve.value[-1]:.6g}'
    )


def verdict_words(verdict: dict[str, Any]) -> str:
    """`loss matches: ... (tolerance ...)`."""
    overlap = '' if verdict['overlap'] is None else ' over {:g} to {:g}'.format(*verdict['overlap'])
    tolerance = f' (tolerance {verdict["tolerance"]})' if verdict['tolerance'] else ''
    return f'{verdict["quantity"]} {verdict["verdict"]}{overlap}: {verdict["text"]}{tolerance}'


def course_words(verdict: dict[str, Any]) -> str:
    """`both rise`, `rises against stays` (the published one first), or nothing where that cannot be told."""
    if not verdict['courses']:
        return ''
    theirs, mine = (verdict['courses'][whose]['word'] for whose in ('published', 'ours'))
    return f'both {theirs.removesuffix("s")}' if theirs == mine else f'{theirs} against {mine}'


def course_line(verdict: dict[str, Any]) -> str:
    """`course_words` with the levels that they go by."""
    theirs, mine = (verdict['courses'][whose] for whose in ('published', 'ours'))
    levels = ', '.join(
        f'{whose} {course["first"]:.3g} to {course["last"]:.3g}'
        for whose, course in (('published', theirs), ('ours', mine))
    )
    return f'{verdict["quantity"]}, first to last fifth: {course_words(verdict)} ({levels})'


def checkpoint_rows(verdict: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a verdict's checkpoints."""
    return (
        ['iteration', 'published', 'ours', 'difference', 'allowed'],
        [
            [
                f'{point["iteration"]:g}',
                f'{point["published"]:.6g}',
                f'{point["ours"]:.6g}',
                f'{point["difference"]:+.4g}',
                f'{point["allowed"]:.3g}',
            ]
            for point in verdict['checkpoints']
        ],
    )


def time_rows(pair: Pair) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the times to reach a loss."""
    return (
        ['loss', 'published at', 'time', 'ours at', 'time'],
        [[f'{one["level"]:g}', *_reached(one['published']), *_reached(one['ours'])] for one in pair.times],
    )


def pair_lines(pair: Pair) -> list[str]:
    """Verdicts and tables of one pair."""
    lines = [f'{pair.ours.label}  against  {pair.published.label}', *([f'  {pair.nets}'] if pair.nets else [])]
    for verdict in pair.verdicts:
        lines.append(f'  {verdict_words(verdict)}')
        if verdict['checkpoints'] and verdict['verdict'] != IDENTICAL:
            lines += _indented(*checkpoint_rows(verdict))
        if verdict['courses']:
            lines.append(f'  {course_line(verdict)}')
    if pair.times:
        lines += ['  iteration and time at which the smoothed loss first reaches a level', *_indented(*time_rows(pair))]
    return lines if pair.verdicts else [*lines, '  nothing to compare: no quantity that both show']


def summary(pairs: Sequence[Pair]) -> str:
    """One table of all verdicts."""
    rows = [
        [pair.ours.label, pair.published.label, verdict['quantity'], verdict['verdict'], course_words(verdict)]
        for pair in pairs
        for verdict in pair.verdicts
    ]
    return text_table(['ours', 'published', 'curve', 'verdict', 'course'], rows, left=5) if rows else ''


def alone(published: Sequence[LoggedTraining], ours: Sequence[LoggedTraining], pairs: Sequence[Pair]) -> str:
    """A line that names the trainings of either side that are in none of the pairs; empty where there are none."""
    paired = {id(training) for pair in pairs for training in (pair.published, pair.ours)}
    found = [
        f'{whose}: {", ".join(labels)}'
        for whose, side in (('published', published), ('ours', ours))
        if (labels := [training.label for training in side if id(training) not in paired])
    ]
    return f'without a counterpart: {"; ".join(found)}' if found and pairs else ''


def as_data(
    sources: Sequence[tuple[LoggedTraining, Sequence[dict[str, Any]]]], pairs: Sequence[Pair]
) -> dict[str, Any]:
    """The comparison as plain lists and dicts. sources: [(training, checks)]."""
    return {
        'stages': [
            {
                'label': training.label,
                'runs': [run_words(run) for run in training.runs],
                'checks': checks,
                'curves': {name: curve_words(curve) for name, curve in training.curves.items()},
            }
            for training, checks in sources
        ],
        'pairs': [
            {
                'published': pair.published.label,
                'ours': pair.ours.label,
                'nets': pair.nets,
                'rate_steps': pair.breaks,
                'curves': pair.verdicts,
                'time_to_loss': pair.times,
            }
            for pair in pairs
        ],
    }


def _indented(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f'    {line}' for line in text_table(header, rows).splitlines()]


def _reached(place: dict[str, Any] | None) -> tuple[str, str]:
    return ('not reached', '') if place is None else (f'{place["iteration"]:g}', duration(place['seconds']))
