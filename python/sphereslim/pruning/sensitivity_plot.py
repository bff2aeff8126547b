"""The plot of a sensitivity table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sphereslim.files import write_bytes
from sphereslim.pruning.sensitivity import Row
from sphereslim.report.drawing import panels, png


def draw(path: Path, rows: Sequence[Row], subject: Mapping[str, Any]) -> None:
    """Write a picture of loss over the share kept, one line per group, the groups that lose most are named."""
    from matplotlib import colormaps

    figure, axes = panels((9, 5))
    whole = next(row for row in rows if not row.group)
    names = list(dict.fromkeys(row.group for row in rows if row.group))
    colours = colormaps['turbo'].resampled(max(len(names), 2))
    for number, name in enumerate(names):
        points = sorted((row.kept / row.size, row.loss) for row in rows if row.group == name)
        axes.plot(*zip(*points, (1.0, whole.loss)), 'o-', ms=3, lw=1, color=colours(number), label=name)
    axes.set(xlabel='share of the channels kept', ylabel=f'loss: {subject["loss"]}')
    axes.set_yscale('symlog', linthresh=1e-3)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6, loc='center left', bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(f'Every group pruned alone by {subject["criterion"]}', fontsize=11)
    write_bytes(path, png(figure))
