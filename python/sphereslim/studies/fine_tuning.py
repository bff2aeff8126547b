"""Losses of fine-tuning beside the published curves: where they begin, where they end, whether both go one way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.logs.curves import end_parts
from sphereslim.report.cells import MEASURED, PUBLISHED, ReportCell, ReportTable
from sphereslim.studies.pipeline import Plan
from sphereslim.studies.pipeline_report.collect import stage_curves
from sphereslim.studies.pipeline_report.published import printed_for
from sphereslim.studies.prune_runs import Base

SHARE = 10  # the first and the last tenth of a curve are averaged
Points = Sequence[Sequence[float]]


def curve_rows(runs: Sequence[tuple[Base, float, Plan]], published: Path) -> list[dict[str, Any]]:
    """Plain values of every stage after the base in runs [(Base, rate, Plan)], and of its published curve, if any."""
    rows = []
    for base, rate, plan in runs:
        printed = (printed_for(published, base.name) or {'curves': {}})['curves']
        for stage in plan.stages()[1:]:
            name = stage.name.partition('-')[2]
            curves = stage_curves(stage)
            losses, lambdas = curves.get('loss', []), curves.get('lambda', [])
            row: dict[str, Any] = {'net': base.name, 'rate': rate, 'stage': name, 'ours': ends(losses)}
            row['lambda'] = lambdas[-1][1] if lambdas else None
            row['published'] = ends(printed.get(name, []))
            row['curve'] = [list(point) for point in losses]
            rows.append(row)
    return rows


def ends(points: Points) -> list[float] | None:
    """[mean loss of the first tenth, of the last tenth] of a curve [[iteration, loss], …]; None for an empty one."""
    if not len(points):
        return None
    return [float(part.mean()) for part in end_parts(np.array([loss for _, loss in points]), SHARE)]


def same_direction(row: dict[str, Any]) -> bool | None:
    """Whether the loss of a stage rises where the published one rises, or falls with it; None without both."""
    if not row['ours'] or not row['published']:
        return None
    ours, printed = (values[1] - values[0] for values in (row['ours'], row['published']))
    return bool(ours * printed > 0)


def curves_table(rows: Sequence[dict[str, Any]]) -> ReportTable:
    """The ReportTable of `curve_rows`."""
    cells = []
    for row in rows:
        same = same_direction(row)
        cells.append(
            [
                ReportCell(f'{row["net"]} at {row["rate"]:g}'),
                ReportCell(row['stage']),
                *_ends(row['ours'], MEASURED),
                ReportCell('' if row['lambda'] is None else f'{row["lambda"]:.1f}'),
                *_ends(row['published'], PUBLISHED),
                ReportCell('' if same is None else 'yes' if same else 'no'),
            ]
        )
    return ReportTable(
        'Losses of fine-tuning',
        ['network', 'stage', 'begins', 'ends', 'last lambda', 'published begins', 'ends', 'same direction'],
        cells,
        'Means over the first and the last tenth of each curve. Lambda falls from 1000 in every stage, and the loss is '
        'that of the margin which it lets through. The published curves go over their own number of iterations; its '
        'rates are not told apart.',
    )


def _ends(values: Sequence[float] | None, source: str) -> list[ReportCell]:
    return [ReportCell(f'{value:.2f}', source) for value in values] if values else [ReportCell('')] * 2
