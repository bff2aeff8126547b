"""Drawings of curves: published against ours, or one log on its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import EngFormatter, MaxNLocator

from sphereslim.logs.compare.compare import Pair
from sphereslim.logs.curves import Curve, smooth
from sphereslim.logs.run import Run
from sphereslim.logs.trainings import LoggedTraining, rate_steps, trainings
from sphereslim.report.drawing import colours, legend_above, panels, write_title

# A phone shows about 360 points of width: a narrow page keeps the labels readable there.
SIZE = (5.4, 3.6)
MOST_PAIRS = 5
ON_LOG_SCALE = ('lambda', 'lr')


def draw_pairs(quantity: str, pairs: Sequence[Pair]) -> Any:
    """Figure of one quantity: for every Pair the published curve (black or dashed) and ours in colour."""
    figure, axes = panels(SIZE)
    drawn = set()
    for pair, colour in zip(pairs, colours(len(pairs))):
        for training, style, whose in ((pair.published, '--', 'published'), (pair.ours, '-', 'ours')):
            if id(training) in drawn or quantity not in training.curves:
                continue
            drawn.add(id(training))
            shade: str | tuple[float, ...] = 'black' if whose == 'published' and len(pairs) == 1 else colour
            draw_curve(axes, training.curves[quantity], pair.breaks, shade, style, f'{whose}: {training.label}')
    _finish(
        axes,
        quantity,
        [
            curve
            for pair in pairs
            for training in (pair.published, pair.ours)
            if (curve := training.curves.get(quantity)) is not None
        ],
    )
    legend_above(figure, 2, 7)
    return figure


def draw_curve(
    axes: Any,
    curve: Curve,
    breaks: Sequence[Any],
    colour: str | tuple[float, ...],
    style: str = '-',
    label: str | None = None,
) -> None:
    """One curve into `axes`: its points faint and the smoothed line over them; plateaus as steps."""
    curve = curve.finite()
    if curve.quantity in ON_LOG_SCALE or curve.quantity.startswith('test ') or len(curve) < 8:
        axes.plot(
            curve.iteration,
            curve.value,
            style,
            color=colour,
            lw=1.4,
            label=label,
            ms=4,
            marker='.' if len(curve) < 99 else '',
            drawstyle='steps-post' if curve.quantity == 'lr' else 'default',
        )
        return
    width = max(0.01 * (curve.iteration[-1] - curve.iteration[0]), 2.5 * curve.spacing())
    value, _ = smooth(curve, curve.iteration, width, breaks)
    axes.plot(curve.iteration, curve.value, '.', color=colour, alpha=0.25, mew=0, ms=2 if len(curve) > 2000 else 3.5)
    axes.plot(curve.iteration, value, style, color=colour, lw=1.4, label=label)


def draw_trainings(trainings: Sequence[LoggedTraining]) -> Any:
    """One figure of a log's trainings: a panel for each quantity, all of them in each, smoothed between rate steps."""
    names = dict.fromkeys(name for training in trainings for name in training.curves)
    figure, column = panels((SIZE[0] * 1.5, 2.4 * len(names) + 0.6), len(names), squeeze=False)
    shades = list(zip(trainings, colours(len(trainings))))
    for axes, quantity in zip(column[:, 0], names):
        shown = [(training, colour) for training, colour in shades if quantity in training.curves]
        for training, colour in shown:
            draw_curve(
                axes,
                training.curves[quantity],
                rate_steps(training),
                colour,
                '-',
                training.label if len(trainings) > 1 else None,
            )
        _finish(axes, quantity, [training.curves[quantity] for training, _ in shown])
    legend_above(figure, 2, 7)
    return figure


def draw_log(runs: Sequence[Run], label: str) -> Any:
    """The figure of the runs of one log, those that belong together joined."""
    figure = draw_trainings(trainings(runs, label))
    write_title(figure, label)
    return figure


def _finish(axes: Any, quantity: str, curves: Sequence[Curve]) -> None:
    values = np.concatenate([curve.finite().value for curve in curves] or [np.empty(0)])
    if quantity in ON_LOG_SCALE and values.size and values.min() > 0 and values.max() > 5 * values.min():
        axes.set_yscale('log')
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=''))
    axes.set_xlabel('iteration')
    axes.set_ylabel(quantity)
    axes.grid(alpha=0.3)
