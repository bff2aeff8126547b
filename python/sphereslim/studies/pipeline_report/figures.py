"""The drawings of a report: small ones, each on its own, so that a phone shows them one below the other."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, ScalarFormatter

from sphereslim.report.cells import Figure
from sphereslim.report.drawing import legend_above, panels, write_beside

SIZE = (4.6, 3.2)  # inches: a phone's width of 360 points leaves the labels readable
GREY = '0.55'


def figures(report: dict[str, Any]) -> dict[str, list[Figure]]:
    """{heading: [Figure]} of everything that the report has data for."""
    curves = [_loss_figure(report, stage, curves) for stage, curves in report['curves'].items() if curves.get('loss')]
    bars = [
        Figure(
            f'channels-{selection["layer"]}',
            f'{selection["layer"]}: {len(selection["kept"])} of {len(selection["scores"])} kept',
            _caption(selection),
            partial(channels, selection),
        )
        for selection in report['selections']
    ]
    groups = {
        'Accuracy against size and time': [
            Figure(
                'accuracy-size',
                'Accuracy against size',
                'Every stage by its number, and the networks the source printed.',
                lambda: accuracy(report, _size, _printed_size, 'million parameters without the classifier'),
            ),
            Figure(
                'accuracy-time',
                'Accuracy against time',
                "Forward time of every stage by its number, as a share of the base's.",
                lambda: accuracy(report, _time, _printed_time, "forward time, % of the base network's"),
            ),
        ],
        'Training': curves,
        'Channels kept and removed': bars,
    }
    return {heading: found for heading, found in groups.items() if found}


def accuracy(
    report: dict[str, Any],
    ours: Callable[[dict[str, Any], dict[str, Any]], float],
    printed: Callable[[dict[str, Any], dict[str, Any]], float],
    label: str,
) -> Any:
    """Accuracy before and after every training over a cost, beside the published networks."""
    figure, axes = panels(SIZE)
    for moment, marker, words in (('before', 'v', 'pruned, not trained'), ('after', 'o-', 'trained')):
        points = [
            (ours(row, report), row[moment]['accuracy'], row[moment]['error']) for row in report['rows'] if row[moment]
        ]
        if points:
            x, y, error = np.array(points).T
            axes.errorbar(x, y, error, fmt=marker, capsize=3, ms=5, label=words)
    published = report['published']
    if published:
        base, rows = published['rows'][0], published['rows']
        line = [(printed(row, base), row.get('lfw', row.get('lfw_avg'))) for row in rows]
        axes.plot(*np.array(line).T, 's--', color=GREY, ms=4, label='published, on LFW')
    axes.set(xlabel=label, ylabel='verification accuracy, %')
    axes.invert_xaxis()
    axes.grid(alpha=0.3)
    legend_above(figure, 3)
    _number(
        axes,
        [
            (ours(row, report), row['after']['accuracy'], row['stage'].split('-')[0])
            for row in report['rows']
            if row['after']
        ],
    )
    return figure


def _number(axes: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Write the number of each (x, y, number) beside it, those that stand together as one text."""
    if not points:
        return
    reach = 0.04 * (max(x for x, _, _ in points) - min(x for x, _, _ in points))
    groups: list[list[tuple[float, float, str]]] = []
    for point in sorted(points):
        if groups and point[0] - groups[-1][-1][0] <= reach:
            groups[-1].append(point)
        else:
            groups.append([point])
    tops = [max(group, key=lambda point: point[1]) for group in groups]
    words = [' '.join(sorted(number for _, _, number in group)) for group in groups]
    write_beside(axes, [(x, y, text) for (x, y, _), text in zip(tops, words)])


def _size(row: dict[str, Any], report: dict[str, Any]) -> float:
    return row['parameters'] / 1e6


def _time(row: dict[str, Any], report: dict[str, Any]) -> float:
    return 100 / row['speed_ratio']


def _printed_size(row: dict[str, Any], base: dict[str, Any]) -> float:
    return row['params'] / 1e6


def _printed_time(row: dict[str, Any], base: dict[str, Any]) -> float:
    return 100 * row['forward_ms'] / base['forward_ms']


def _loss_figure(report: dict[str, Any], stage: str, curves: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    published = (report['published'] or {'curves': {}})['curves'].get(stage.split('-', 1)[-1])
    text = f'Loss of {stage}' + (' and lambda' if curves.get('lambda') else '')
    if published:
        text += '; grey the published curve over its own iterations, at the top'
    return Figure(f'loss-{stage}', stage, f'{text}.', lambda: losses(curves, published))


def losses(curves: Mapping[str, Sequence[Sequence[float]]], published: Sequence[Sequence[float]] | None = None) -> Any:
    """The loss of a stage, the lambda that drives it, and the published loss over its own iterations."""
    figure, axes = panels(SIZE)
    if published:
        above = axes.twiny()
        above.plot(*np.array(published).T, color=GREY, lw=1.2)
        above.set_xlabel('published iteration', color=GREY, fontsize=8)
        above.tick_params(labelsize=8, colors=GREY)
        above.xaxis.set_major_locator(MaxNLocator(5))
    axes.plot(*np.array(curves['loss']).T, color='C0')
    axes.set_ylabel('loss', color='C0')
    axes.set_xlabel('iteration')
    if _are_far_apart(curves['loss'], published or ()):
        axes.set_yscale('log')
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if curves.get('lambda'):
        _draw_lambda(axes.twinx(), curves['lambda'])
    return figure


def _are_far_apart(*curves: Sequence[Sequence[float]]) -> bool:
    """Whether one curve would lie flat on the axis under another one: its largest loss is below a tenth of that."""
    tops = [max(loss for _, loss in curve) for curve in curves if len(curve)]
    positive = all(loss > 0 for curve in curves for _, loss in curve)
    return positive and min(tops) < 0.1 * max(tops)


def _draw_lambda(axes: Any, points: Sequence[Sequence[float]]) -> None:
    axes.semilogy(*np.array(points).T, color='C1', lw=1.2, ls='--')
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_locator(LogLocator(subs=()))
    axes.set_ylabel('lambda', color='C1')


def _caption(selection: dict[str, Any]) -> str:
    """What the bars of a layer are; of pairs, why the removed ones are not those of the lowest scores."""
    words = f'Every filter of {selection["layer"]} by its score.'
    if selection['criterion'] == 'greedy_pair':
        words += (
            ' Filters leave in pairs, each time the two whose sums of activations cancel best: removed ones stand on '
            'both sides of zero, among kept ones.'
        )
    return words


def channels(selection: dict[str, Any]) -> Any:
    """Every channel of a pruned layer, sorted by score: kept or removed."""
    figure, axes = panels(SIZE)
    channel_bars(axes, selection)
    axes.set(xlabel='filters by score', ylabel=f'score ({selection["criterion"]})')
    title = 'removed in pairs that cancel' if selection['criterion'] == 'greedy_pair' else None
    axes.legend(fontsize=8, title=title, title_fontsize=8, loc='upper left')
    return figure


def channel_bars(axes: Any, selection: dict[str, Any]) -> None:
    """Bars of a layer's scores, ascending, in the colours of kept and removed filters."""
    scores = np.array(selection['scores'], float)
    order = np.argsort(scores)
    kept = np.isin(order, selection['kept'])
    places = np.arange(len(scores))
    for mask, colour, label in ((kept, 'C0', 'kept'), (~kept, 'C1', 'removed')):
        axes.bar(places[mask], scores[order][mask], width=1.0, color=colour, label=f'{mask.sum()} {label}')
