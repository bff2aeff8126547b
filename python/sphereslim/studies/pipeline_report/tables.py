"""The tables of a report, from its plain values."""

from collections.abc import Callable
from typing import Any

from sphereslim.evaluation.paired import lost_text
from sphereslim.report.cells import ANALYTIC, MEASURED, PUBLISHED, ReportCell, ReportTable, accuracy_text
from sphereslim.report.text_tables import duration, with_unit


def stage_table(report: dict[str, Any]) -> ReportTable:
    """Every stage of the run."""
    columns = [
        'stage',
        'filters',
        'parameters',
        'MACs',
        'model',
        'ms per image',
        'speed',
        'accuracy pruned',
        'accuracy trained',
        'lost',
        'training',
    ]
    note = (
        'Milliseconds are medians of the forward pass on this machine, all stages in turns in one process. Speed '
        "is the first stage's time over the stage's own, round by round: the median and the quartiles, which lie "
        'far apart where other work kept the machine busy. Accuracy is the mean over the folds and its standard '
        "error, before the stage's training and after it. Lost are points against the first stage after its training; "
        'their standard error is that over the same pairs, of which most are judged alike by both nets.'
    )
    return ReportTable('Every stage', columns, [_stage_row(row, report['rows'][0]) for row in report['rows']], note)


def _stage_row(row: dict[str, Any], base: dict[str, Any]) -> list[ReportCell]:
    counted = [row['filters'], f'{row["parameters"]:,}', with_unit(row['macs']), f'{row["model_bytes"] / 1e6:.1f} MB']
    measured = [
        f'{row["milliseconds"]:.2f}',
        _speed(row),
        accuracy(row['before']),
        accuracy(row['after']),
        _lost(row, base) if row is not base else '',
        duration(row['training_seconds']),
    ]
    return [
        ReportCell(row['stage']),
        *(ReportCell(text, ANALYTIC if text else '') for text in counted),
        *(ReportCell(text, MEASURED if text else '') for text in measured),
    ]


def _speed(row: dict[str, Any]) -> str:
    low, high = row['speed_quartiles']
    return f'{row["speed_ratio"]:.2f}× ({low:.2f}–{high:.2f})'


def sets_table(report: dict[str, Any]) -> ReportTable | None:
    """Every stage on further lists of pairs; None where it was verified on none."""
    base = report['rows'][0]
    names = list(base.get('sets', {}))
    if not names:
        return None
    rows = []
    for row in report['rows']:
        cells = [ReportCell(row['stage'])]
        for name in names:
            before, after = base['sets'][name], row['sets'][name]
            cells.append(ReportCell(accuracy(after), MEASURED))
            cells.append(ReportCell('') if row is base else ReportCell(lost_text(before, after), MEASURED))
        rows.append(cells)
    columns = ['stage', *(word for name in names for word in (name, 'lost'))]
    return ReportTable('On further pairs', columns, rows, 'Accuracies and losses of the trained stages, as above.')


def published_table(report: dict[str, Any]) -> ReportTable | None:
    """The source's rows of this network beside the run's base and end; None where it printed none."""
    printed = report['published']
    if not printed:
        return None
    columns = [
        'network',
        *(name for ours in ('parameters', 'accuracy', 'lost', 'forward time') for name in (ours, 'published')),
    ]
    ours = {None: report['rows'][0]}
    if report['rows'][-1]['stage'] != report['rows'][0]['stage'] and report['complete']:
        ours[report['settings']['rate']] = report['rows'][-1]
    base = next(row for row in printed['rows'] if row['rate'] is None)
    rows = [_published_row(row, ours.get(row['rate']), base, report['rows'][0]) for row in printed['rows']]
    rates = sorted({row['rate'] for row in printed['rows'] if row['rate'] is not None}, reverse=True)
    note = (
        f'Published: {printed["source"]}. Parameters have to agree to the digits printed. Accuracies are of other '
        'faces unless this run trained on CASIA-WebFace and verified on LFW: what to compare is how much pruning '
        "loses, in points of accuracy. Forward time is the share of the base network's."
    )
    if report['settings']['rate'] not in rates:
        note += (
            f' Printed are the rates {", ".join(f"{rate:g}" for rate in rates)}, this run kept '
            f'{report["settings"]["rate"]:g}.'
        )
    return ReportTable('Beside the published figures', columns, rows, note)


def _published_row(
    printed: dict[str, Any], ours: dict[str, Any] | None, printed_base: dict[str, Any], our_base: dict[str, Any]
) -> list[ReportCell]:
    name = printed['net'] if printed['rate'] is None else f'{printed["net"]} at {printed["rate"]:g}'
    cells = [ReportCell(name)]
    cells += [
        _cell(ours, lambda row: f'{row["parameters"]:,}', ANALYTIC),
        ReportCell(f'{printed["params"] / 1e6:.1f} M', PUBLISHED),
    ]
    cells += [
        _cell(ours, lambda row: accuracy(row['after']), MEASURED),
        ReportCell(f'{_lfw(printed):.2f} %', PUBLISHED),
    ]
    cells += [
        _cell(ours, lambda row: _lost(row, our_base), MEASURED),
        ReportCell(f'{_lfw(printed_base) - _lfw(printed):.2f}', PUBLISHED),
    ]
    cells += [
        _cell(ours, lambda row: f'{100 / row["speed_ratio"]:.0f} %', MEASURED),
        ReportCell(f'{100 * printed["forward_ms"] / printed_base["forward_ms"]:.0f} %', PUBLISHED),
    ]
    return cells


def _cell(row: dict[str, Any] | None, text: Callable[[dict[str, Any]], str], source: str) -> ReportCell:
    shown = text(row) if row else ''
    return ReportCell(shown, source if shown else '')


def _lost(row: dict[str, Any], base: dict[str, Any]) -> str:
    if not (row['after'] and base['after']):
        return ''
    return lost_text(base['after'], row['after'])


def _lfw(printed: dict[str, Any]) -> float:
    """The accuracy printed: of pruned networks the average over their runs."""
    return printed['lfw'] if 'lfw' in printed else printed['lfw_avg']


def accuracy(result: dict[str, Any] | None) -> str:
    """An accuracy, with its standard error where there is more than one fold; nothing for None."""
    if not result:
        return ''
    return accuracy_text(result['accuracy'], result['error'])
