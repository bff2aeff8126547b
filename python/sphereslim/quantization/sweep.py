"""Accuracy against size: one quantized network per combination of scheme, layers, scope and bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sphereslim.engine import caffe_pb2
from sphereslim.files import ResultsFile, write_bytes
from sphereslim.quantization.file import write_quantized
from sphereslim.quantization.quantize_net import dequantize, quantize_net
from sphereslim.report.drawing import colours, legend_above, panels, png, write_beside
from sphereslim.report.text_tables import markdown_table

ROWS_FILE = 'sweep.json'
Point = dict[str, Any]  # scheme, layers, scope and bits; a finished row also has bytes and value


def combinations(
    schemes: Sequence[str], layers: Sequence[str], scopes: Sequence[str], bits: Sequence[int]
) -> list[Point]:
    """The rows to fill, bits varying fastest."""
    return [
        {'scheme': scheme, 'layers': only, 'scope': scope, 'bits': width}
        for scheme in schemes
        for only in layers
        for scope in scopes
        for width in bits
    ]


def run_point(
    net: caffe_pb2.NetParameter,
    point: Point,
    folder: str | Path,
    prototxt: str | Path,
    measure: Callable[[str, str], float],
    coding: str = 'none',
) -> Point:
    """Quantizes `net` as `point` says, keeps its qcaffemodel in `folder`, measures the dequantized weights.

    Returns the finished row: the point with the file's `bytes` and the measured `value`.
    """
    quantized = quantize_net(net, point['bits'], point['scheme'], point['scope'], point['layers'])
    path = Path(folder) / f'{_name(point)}.qcaffemodel'
    size = write_quantized(quantized, path, coding)
    return {**point, 'bytes': size, 'value': measured(dequantize(quantized), folder, prototxt, measure)}


def measured(
    net: caffe_pb2.NetParameter, folder: str | Path, prototxt: str | Path, measure: Callable[[str, str], float]
) -> float:
    """`measure` of a NetParameter by way of a caffemodel that does not outlive the call."""
    path = Path(folder) / 'measured.caffemodel'
    write_bytes(path, net.SerializeToString())
    try:
        return float(measure(str(prototxt), str(path)))
    finally:
        path.unlink()


class Rows:
    """Finished rows in `folder`, a ResultsFile of `subject`: a run that was stopped goes on where it was."""

    def __init__(self, folder: str | Path, subject: Mapping[str, Any]) -> None:
        self._kept = ResultsFile(Path(folder) / ROWS_FILE, subject)

    def find(self, point: Point) -> Point | None:
        """The finished row of a point, or None."""
        return self._kept.results.get(_name(point))

    def add(self, row: Point) -> None:
        """Keep a finished row, on disk too."""
        self._kept.keep(_name(row), row)


def _name(point: Point) -> str:
    return '{scheme}-{layers}-{scope}-{bits:02d}'.format(**point)


def table_text(rows: Sequence[Point], reference: tuple[int, float], name: str) -> str:
    """A Markdown table; `reference` is (bytes, value) of the network as it was, `name` that of the measure."""
    before, value = reference
    cells = [['none', '', '', 32, before, '1.00', f'{value:.6g}']]
    cells += [
        [
            row['scheme'],
            row['layers'],
            row['scope'],
            row['bits'],
            row['bytes'],
            f'{before / row["bytes"]:.2f}',
            f'{row["value"]:.6g}',
        ]
        for row in rows
    ]
    return markdown_table(['scheme', 'layers', 'scope', 'bits', 'bytes', 'times smaller', name], cells, left=3) + '\n'


def plot(rows: Sequence[Point], reference: tuple[int, float], name: str, path: str | Path, logarithmic: bool) -> None:
    """Write a PNG with a line per scheme, layers and scope: the measure against the file's size in MB (10^6 bytes)."""
    figure, axes = panels((7, 4.5))
    lines = list(dict.fromkeys((row['scheme'], row['layers'], row['scope']) for row in rows))
    for key, colour in zip(lines, colours(len(lines))):
        line = [row for row in rows if (row['scheme'], row['layers'], row['scope']) == key]
        place = [row['bytes'] / 1e6 for row in line], [row['value'] for row in line]
        axes.plot(*place, 'o-', color=colour, label=', '.join(key))
    if logarithmic:
        axes.set_yscale('log')
    else:
        axes.axhline(reference[1], color='grey', linestyle='--', label='float32')
    axes.set(xlabel='file size, MB (numbers: bits per weight)', ylabel=name)
    axes.grid(alpha=0.3)
    legend_above(figure, 3)
    tops: dict[tuple[str, int], Point] = {}  # the numbers stand at the highest line of the same layers
    for row in rows:
        same = row['layers'], row['bits']
        tops[same] = max(tops.get(same, row), row, key=lambda row: row['value'])
    write_beside(axes, [(row['bytes'] / 1e6, row['value'], str(row['bits'])) for row in tops.values()], 7)
    write_bytes(path, png(figure, dpi=120))
