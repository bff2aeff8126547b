"""The plot of a sensitivity table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sphereslim.files import write_bytes
from sphereslim.pruning.sensitivity import Row
from sphereslim.report.drawing import colours, panels, png, write_title

_LINES = 40  # of the legend, in one column


def draw(path: Path, rows: Sequence[Row], subject: Mapping[str, Any]) -> None:
    """Write a picture of loss over the share kept, one line per group, the groups that lose most are named."""
    figure, axes = panels((9, 5))
    whole = next(row for row in rows if not row.group)
    names = list(dict.fromkeys(row.group for row in rows if row.group))
    for name, colour in zip(names, colours(len(names))):
        points = sorted((row.kept / row.size, row.loss) for row in rows if row.group == name)
        axes.plot(*zip(*points, (1.0, whole.loss)), 'o-', ms=3, lw=1, color=colour, label=name)
    axes.set(xlabel='share of the channels kept', ylabel=f'loss: {subject["loss"]}')
    axes.set_yscale('symlog', linthresh=1e-3)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.legend(fontsize=6, loc='outside right upper', ncols=1 + len(names) // _LINES)
    write_title(figure, f'Every group pruned alone by {subject["criterion"]}', 11)
    write_bytes(path, png(figure))
