"""The page of a compression: the smaller nets beside the original, what was tried, channels and bits of each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sphereslim.evaluation.paired import lost_text
from sphereslim.report.cells import ANALYTIC, MEASURED, Figure, ReportCell, ReportTable, accuracy_text
from sphereslim.report.drawing import panels
from sphereslim.report.text_tables import with_unit
from sphereslim.report.write import write_report

NOTE = (
    'Milliseconds: forward time of a single picture by `caffe time` on this machine. 1 − cos: mean distance of outputs '
    "from the original's on pictures that nothing was fitted to. Lost: points of accuracy, with the standard error "
    'over the same pairs. In fewer bits the net runs from the caffemodel that its file unpacks to.'
)


def write(found: dict[str, Any], folder: Path, title: str, facts: Sequence[tuple[str, str]]) -> Path:
    """Write report.html, .md, .json and its figures into a folder from what a Compression found; the page's path."""
    tables = [nets_table(found['rows'])]
    tables += [steps_table(found)] if found['steps'] else []
    return write_report(folder, title, facts, tables, _figures(found), found)


def nets_table(rows: Sequence[Mapping[str, Any]]) -> ReportTable:
    """Every net beside the original, which is the first row."""
    whole = rows[0]
    sets = list(whole['accuracies'])
    columns = ['net', 'MACs', 'parameters', 'bytes', 'ms', '1 − cos']
    columns += [word for name in sets for word in (name, 'lost')]
    return ReportTable('Beside the original', columns, [_net_cells(row, whole, sets) for row in rows], NOTE)


def _net_cells(row: Mapping[str, Any], whole: Mapping[str, Any], sets: Sequence[str]) -> list[ReportCell]:
    cells = [
        ReportCell(row['name']),
        ReportCell(f'{with_unit(row["macs"])} ({row["macs"] / whole["macs"]:.0%})', ANALYTIC),
        ReportCell(f'{with_unit(row["parameters"])} ({row["parameters"] / whole["parameters"]:.0%})', ANALYTIC),
        ReportCell(f'{row["bytes"]:,}', MEASURED),
        ReportCell(f'{row["milliseconds"]:.2f}', MEASURED),
        ReportCell(f'{row["loss"]:.4f}', MEASURED),
    ]
    for name in sets:
        before, after = whole['accuracies'][name], row['accuracies'][name]
        cells.append(ReportCell(accuracy_text(after['accuracy'], after['error']), MEASURED))
        cells.append(ReportCell('') if row is whole else ReportCell(lost_text(before, after), MEASURED))
    return cells


def steps_table(found: Mapping[str, Any]) -> ReportTable:
    """The steps of fewer channels."""
    whole = found['rows'][0]
    rows = [
        [
            ReportCell(Path(step['folder']).name),
            ReportCell(f'{with_unit(step["macs"])} ({step["macs"] / whole["macs"]:.0%})', ANALYTIC),
            ReportCell(with_unit(step['parameters']), ANALYTIC),
            ReportCell(f'{step["loss"]:.4f}', MEASURED),
        ]
        for step in found['steps']
    ]
    note = 'Steps of fewer channels, each refitted by least squares on few pictures and without training.'
    return ReportTable('What was tried', ['step', 'MACs', 'parameters', '1 − cos'], rows, note)


def _figures(found: Mapping[str, Any]) -> list[Figure]:
    figures = []
    if len(found['steps']) > 1:
        text = 'Mean distance of outputs from those of the original, over the share of the MACs that is left.'
        figures.append(Figure('trade-off', 'Loss against MACs', text, lambda: _draw_steps(found)))
    if found['kept']:
        text = 'Channels of each group: of the original (grey) and left.'
        figures.append(Figure('channels', 'Channels', text, lambda: _draw_bars(found['kept'], 'channels')))
    if found['bits']:
        text = 'Bits of a weight in each layer.'
        bits = {name: [number] for name, number in found['bits'].items()}
        figures.append(Figure('bits', 'Bits', text, lambda: _draw_bars(bits, 'bits per weight')))
    return figures


def _draw_steps(found: Mapping[str, Any]) -> Any:
    figure, axes = panels((4.6, 3.2))
    whole = found['rows'][0]['macs']
    points = sorted((100 * step['macs'] / whole, step['loss']) for step in found['steps'])
    axes.plot(*zip(*points), 'o-', ms=4)
    axes.set(xlabel='MACs left, %', ylabel='1 − cos', yscale='log')
    axes.grid(alpha=0.3)
    return figure


def _draw_bars(values: Mapping[str, Sequence[float]], label: str) -> Any:
    """A bar for each name: the last of its numbers grey, the first before it."""
    figure, axes = panels((4.6, 1 + 0.16 * len(values)))
    places = range(len(values))
    axes.barh(places, [numbers[-1] for numbers in values.values()], color='0.8')
    axes.barh(places, [numbers[0] for numbers in values.values()])
    axes.set_yticks(places, list(values), fontsize=6)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    return figure
