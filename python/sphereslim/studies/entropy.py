"""The entropy paper's tables 3, 4 and 5: what runs measured beside what is printed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

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

_PRINTED = {
    ('vgg16', 0.5): 'VGG-16 pruned 0.5',
    ('webface', 0.9): 'Pruned-90',
    ('webface', 0.75): 'Pruned-75',
    ('webface', 0.5): 'Pruned-50',
    ('vgg16', None): 'VGG-16',
    ('webface', None): 'WebFace',
}


def net_rows(
    bases: Sequence[Base],
    runs: Sequence[tuple[Base, float, Plan]],
    speed: Mapping[str, Mapping[str, float]],
    printed: dict[str, Any],
) -> list[dict[str, Any]]:
    """Plain values of every base and of runs [(Base, rate, Plan)]; `speed` is {whole deploy: times}."""
    table = {row['model']: row for row in [*printed['table3'], *printed['table4']]}
    rows = []
    for base in bases:
        for rate, plan in [(None, None), *((rate, plan) for own, rate, plan in runs if own is base)]:
            rows.append(_net_row(base, rate, plan, speed) | {'published': _printed(table, base.name, rate)})
    return rows


def _net_row(
    base: Base, rate: float | None, plan: Plan | None, speed: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    stage, deploy = last_stage(plan or base.plan), whole_deploy(base, plan)
    whole, own = sizes(whole_deploy(base)), sizes(deploy)
    before, after = speed[str(whole_deploy(base))], speed[str(deploy)]
    base_result, result = accuracy_of(base.stage()), accuracy_of(stage)
    return {
        'net': base.name,
        'rate': rate,
        'macs_ratio': whole.macs / own.macs,
        'macs': own.macs,
        'parameters_ratio': whole.weights / own.weights,
        'parameters': own.weights,
        'speed_ratio': before['forward'] / after['forward'],
        'trained_parameters': sizes(stage.deploy).weights,
        'accuracy': result['accuracy'],
        'error': result['error'],
        'lost': base_result['accuracy'] - result['accuracy'],
        'lost_error': lost_error(base_result, result),
    }


def _printed(table: Mapping[str, dict[str, Any]], name: str, rate: float | None) -> dict[str, float]:
    """The ratios and the loss of accuracy that the source prints for a net at a rate."""
    row, whole = (table.get(_PRINTED.get((name, r), '')) for r in (rate, None))
    if row is None or whole is None:
        return {}
    if 'flops' in row:
        ratios = {
            'macs_ratio': whole['flops'] / row['flops'],
            'parameters_ratio': whole['params'] / row['params'],
            'speed_ratio': whole['ms'] / row['ms'],
        }
    else:
        ratios = {
            'macs_ratio': row['flops_x'],
            'parameters_ratio': row['compression_x'],
            'speed_ratio': row['speedup_x'],
        }
    return ratios | {'lost': whole['lfw'] - row['lfw']}


def net_table(rows: Sequence[dict[str, Any]]) -> ReportTable:
    """Nets pruned layer by layer."""
    columns = [
        'net',
        'weights',
        'fewer',
        'published',
        'MACs',
        'fewer',
        'published',
        'faster',
        'published',
        'trained here',
        'accuracy',
        'lost',
        'published',
    ]
    cells = []
    for row in rows:
        line = [
            ReportCell(row['net'] if row['rate'] is None else f'{row["net"]} at {row["rate"]:g}'),
            ReportCell(with_unit(row['parameters']), ANALYTIC),
            *_beside(row, 'parameters_ratio', ANALYTIC, '{:.2f}×'),
            ReportCell(with_unit(row['macs']), ANALYTIC),
            *_beside(row, 'macs_ratio', ANALYTIC, '{:.2f}×'),
            *_beside(row, 'speed_ratio', MEASURED, '{:.2f}×'),
            ReportCell(with_unit(row['trained_parameters'], 3), ANALYTIC),
            ReportCell(accuracy_text(row['accuracy'], row['error']), MEASURED),
            ReportCell(loss_text(row['lost'], row['lost_error']), MEASURED),
            _beside(row, 'lost', MEASURED, '{:.2f}')[1],
        ]
        cells.append(line)
    return ReportTable(
        'Pruned layer by layer',
        columns,
        cells,
        'Weights, MACs and times are of nets at full width and size. Faster: forward by caffe time on this '
        'machine, all nets in turns. Trained here: the weights of the net whose accuracy stands beside it. '
        'Lost: points of accuracy against the unpruned net, with the standard error over the same pairs; they are '
        "other than the source's unless the faces are its own.",
    )


def _beside(row: dict[str, Any], name: str, source: str, form: str) -> tuple[ReportCell, ReportCell]:
    """The Cells of a quantity and of what the source prints for it."""
    printed = row['published'].get(name)
    return ReportCell(form.format(row[name]), source), ReportCell('') if printed is None else ReportCell(
        form.format(printed), PUBLISHED
    )


def layer_rows(tries: Mapping[tuple[str, str, int], Plan], printed: dict[str, Any]) -> list[dict[str, Any]]:
    """Plain values of {(layer, criterion, seed): Plan}: accuracies at 0 iterations and after fine-tuning."""
    rows = []
    for layer, criterion in dict.fromkeys((layer, criterion) for layer, criterion, _ in tries):
        stages = [last_stage(plan) for key, plan in tries.items() if key[:2] == (layer, criterion)]
        values = {
            moment: [accuracy_of(stage, moment)['accuracy'] for stage in stages] for moment in ('before', 'after')
        }
        rows.append(
            {
                'layer': layer,
                'criterion': criterion,
                **values,
                'published': _printed_layer(printed['table5'][criterion], layer),
            }
        )
    return rows


def _printed_layer(printed: Mapping[str, Sequence[float]], layer: str) -> Sequence[float] | None:
    """The source writes conv1-1 for conv11."""
    return next((values for name, values in printed.items() if name.replace('-', '') == layer), None)


def layer_table(rows: Sequence[dict[str, Any]]) -> ReportTable:
    """One layer pruned alone, entropy against random filters."""
    cells = []
    for row in rows:
        line = [ReportCell(row['layer']), ReportCell(row['criterion'])]
        for place, moment in enumerate(('before', 'after')):
            values = row[moment]
            line.append(ReportCell(f'{np.mean(values):.2f} ± {_spread(values):.2f} %', MEASURED))
            line.append(
                ReportCell(f'{row["published"][place]:.2f} %', PUBLISHED) if row['published'] else ReportCell('')
            )
        cells.append(line)
    number = max((len(row['before']) for row in rows), default=0)
    return ReportTable(
        'Entropy against random filters, one layer pruned alone',
        ['layer', 'criterion', 'at 0 iterations', 'published', 'after fine-tuning', 'published'],
        cells,
        f'Mean and standard deviation over {number} seeds; each seed draws its own pictures, random filters '
        'and order of training.',
    )


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def layers_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """The Figure of entropy against random filters."""
    return Figure(
        'entropy-random',
        'Entropy against random filters',
        'Mean and standard deviation over seeds.',
        lambda: _draw(rows),
    )


def _draw(rows: Sequence[dict[str, Any]]) -> Any:
    figure, both = panels((7, 3), columns=2, sharey=True)
    layers = list(dict.fromkeys(row['layer'] for row in rows))
    for axes, moment, words in zip(both, ('before', 'after'), ('pruned, not trained', 'after fine-tuning')):
        for shift, criterion in ((-0.1, 'entropy'), (0.1, 'random')):
            own = {row['layer']: row[moment] for row in rows if row['criterion'] == criterion}
            axes.errorbar(
                [place + shift for place in range(len(layers))],
                [np.mean(own[name]) for name in layers],
                [_spread(own[name]) for name in layers],
                fmt='o',
                capsize=3,
                label=criterion,
            )
        axes.set(title=words, xticks=range(len(layers)), xticklabels=layers)
        axes.grid(alpha=0.3)
    both[0].set_ylabel('verification accuracy, %')
    both[0].legend(fontsize=8)
    return figure
