"""Sphereface-Prune's comparison: what runs measured beside what is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sphereslim.evaluation.paired import lost_error
from sphereslim.report.cells import (
    ANALYTIC,
    MEASURED,
    PUBLISHED,
    Figure,
    ReportCell,
    ReportTable,
    accuracy_text,
    loss_text,
)
from sphereslim.report.drawing import panels
from sphereslim.report.text_tables import with_unit
from sphereslim.studies.pipeline import Plan
from sphereslim.studies.prune_runs import Base, accuracy_of, last_stage, sizes, whole_deploy

COLUMNS = [
    'network',
    'parameters',
    'published',
    'forward',
    'published',
    'backward',
    'published',
    'trained here',
    'accuracy',
    'lost',
    'published',
]
NOTE = (
    'Parameters and times are of nets at full width. Forward and backward say how many times faster than the '
    'original a net is by caffe time on this machine, all nets in turns. Trained here: the parameters of the net '
    'whose accuracy stands beside it. Accuracies depend on the faces: what to compare is how many points pruning '
    'loses, with its standard error over the same pairs. A published cell is empty where the source printed none.'
)


def comparison(
    bases: Sequence[Base],
    plans: Sequence[tuple[Base, float, Plan]],
    speed: Mapping[str, Mapping[str, float]],
    printed: dict[str, Any],
) -> tuple[ReportTable, list[dict[str, Any]]]:
    """(ReportTable, rows as values) of bases and of runs [(Base, rate, Plan)]; `speed` is {whole deploy: times}."""
    rows = []
    for base in bases:
        rows.append(_row(base, None, None, speed, printed))
        rows += [_row(base, rate, plan, speed, printed) for own, rate, plan in plans if own is base]
    return ReportTable('Original and pruned networks', COLUMNS, [_cells(row) for row in rows], NOTE), rows


def _row(
    base: Base, rate: float | None, plan: Plan | None, speed: Mapping[str, Mapping[str, float]], printed: dict[str, Any]
) -> dict[str, Any]:
    stage, deploy = last_stage(plan or base.plan), whole_deploy(base, plan)
    start, own = speed[str(whole_deploy(base))], speed[str(deploy)]
    size, result, before = sizes(deploy), accuracy_of(stage), accuracy_of(base.stage())
    return {
        'net': base.name,
        'rate': rate,
        'parameters': size.parameters,
        'macs': size.macs,
        'forward_ratio': start['forward'] / own['forward'],
        'backward_ratio': start['backward'] / own['backward'],
        'trained_parameters': sizes(stage.deploy).parameters,
        'accuracy': result['accuracy'],
        'error': result['error'],
        'lost': before['accuracy'] - result['accuracy'],
        'lost_error': lost_error(before, result),
        'published': published_of(printed, base.name, rate),
    }


def published_of(printed: dict[str, Any], name: str, rate: float | None) -> dict[str, Any]:
    """{params, lost, forward_ratio, backward_ratio} that the source prints, as far as it does."""
    found = {row.get('rate'): row for row in printed['comparison'] if row['net'].lower() == name}
    whole = found.get(None) or next((row for row in printed['base_models'] if row['net'].lower() == name), None)
    row = whole if rate is None else found.get(rate)
    if row is None or whole is None:
        return {}
    values = {'params': row['params'], 'lost': whole['lfw'] - row.get('lfw', row.get('lfw_avg'))}
    for name in ('forward', 'backward'):
        if f'{name}_ms' in row:
            values[f'{name}_ratio'] = whole[f'{name}_ms'] / row[f'{name}_ms']
    return values


def _cells(row: dict[str, Any]) -> list[ReportCell]:
    name = row['net'] if row['rate'] is None else f'{row["net"]} at {row["rate"]:g}'
    printed = row['published']
    cells = [
        ReportCell(name),
        ReportCell(f'{row["parameters"] / 1e6:.1f} M', ANALYTIC),
        _printed(printed, 'params', lambda value: f'{value / 1e6:.1f} M'),
    ]
    for quantity in ('forward_ratio', 'backward_ratio'):
        cells += [ReportCell(f'{row[quantity]:.2f}×', MEASURED), _printed(printed, quantity, '{:.2f}×'.format)]
    return [
        *cells,
        ReportCell(with_unit(row['trained_parameters'], 3), ANALYTIC),
        ReportCell(accuracy_text(row['accuracy'], row['error']), MEASURED),
        ReportCell(loss_text(row['lost'], row['lost_error']), MEASURED),
        _printed(printed, 'lost', '{:.2f}'.format),
    ]


def _printed(values: dict[str, Any], name: str, form: Callable[[Any], str]) -> ReportCell:
    return ReportCell(form(values[name]), PUBLISHED) if name in values else ReportCell('')


def comparison_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """The Figure of accuracy over parameters, one line per network."""
    return Figure(
        'accuracy-size',
        'Accuracy against size',
        'Each network from its original down to the lowest rate.',
        lambda: _draw(rows),
    )


def _draw(rows: Sequence[dict[str, Any]]) -> Any:
    figure, axes = panels((4.6, 3.2))
    for name in dict.fromkeys(row['net'] for row in rows):
        own = [row for row in rows if row['net'] == name]
        axes.errorbar(
            [row['trained_parameters'] / 1e6 for row in own],
            [row['accuracy'] for row in own],
            [row['error'] for row in own],
            fmt='o-',
            ms=4,
            capsize=3,
            label=name,
        )
    axes.set(xlabel='million parameters trained here', ylabel='verification accuracy, %')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
