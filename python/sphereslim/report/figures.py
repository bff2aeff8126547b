"""The drawings of a report."""

import matplotlib

matplotlib.use('Agg')

import matplotlib.pyplot as plt  # noqa: E402  (the backend must be chosen first)
import numpy as np  # noqa: E402

from sphereslim.logs.plots import png  # noqa: E402

WIDTH = 7.2


def draw(report):
    """{file name: (PNG bytes, description)} of every figure that the report has data for."""
    figures = {'accuracy.png': (accuracy(report), 'Accuracy of every stage against its parameters'),
               'loss.png': (losses(report), 'Training loss of every stage')}
    if report['selections']:
        figures['channels.png'] = (channels(report), 'Channels kept and removed in every pruned layer, by score')
    return {name: (png(figure), text) for name, (figure, text) in figures.items()}


def accuracy(report):
    """Accuracy before and after fine-tuning over the parameters that are left."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.8), layout='constrained')
    for moment, marker, label in (('before', 'v', 'after pruning'), ('after', 'o', 'after training')):
        points = [(row['parameters'] / 1e6, row[moment]['accuracy'], row[moment]['error']) for row in report['rows']
                  if row[moment]]
        if points:
            x, y, error = np.array(points).T
            axes.errorbar(x, y, error, fmt=marker + ('-' if moment == 'after' else ''), capsize=3, label=label)
    for row in report['rows']:
        if row['after']:
            axes.annotate(row['stage'], (row['parameters'] / 1e6, row['after']['accuracy']), fontsize=8,
                          xytext=(4, 6), textcoords='offset points')
    axes.set(xlabel='million parameters without the classifier', ylabel='verification accuracy, %')
    axes.invert_xaxis()
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def losses(report):
    """The loss of each stage and the lambda that drives it, one panel a stage."""
    shown = [(name, curves) for name, curves in report['curves'].items() if curves.get('loss')]
    columns = min(3, len(shown)) or 1
    rows = -(-len(shown) // columns) or 1
    figure, panels = plt.subplots(rows, columns, figsize=(WIDTH, 2.3 * rows), layout='constrained', squeeze=False)
    for axes, (name, curves) in zip(panels.flat, shown):
        axes.plot(*np.array(curves['loss']).T, color='C0')
        axes.set_title(name, fontsize=9)
        axes.set_ylabel('loss', color='C0', fontsize=8)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=7)
        if curves.get('lambda'):
            twin = axes.twinx()
            twin.semilogy(*np.array(curves['lambda']).T, color='C1', lw=1, ls='--')
            twin.tick_params(labelsize=7)
            twin.set_ylabel('lambda', color='C1', fontsize=8)
    for axes in panels.flat[len(shown):]:
        axes.axis('off')
    return figure


def channels(report):
    """Every channel of each pruned layer, sorted by score: kept or removed."""
    chosen = report['selections']
    columns = min(2, len(chosen))
    rows = -(-len(chosen) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(WIDTH, 2.1 * rows), layout='constrained', squeeze=False)
    for axes, selection in zip(panels.flat, chosen):
        scores = np.array(selection['scores'])
        order = np.argsort(scores)
        kept = np.isin(order, selection['kept'])
        places = np.arange(len(scores))
        for mask, colour, label in ((kept, 'C0', 'kept'), (~kept, 'C3', 'removed')):
            axes.bar(places[mask], scores[order][mask], width=1.0, color=colour, label=f'{mask.sum()} {label}')
        axes.set_title(selection['layer'], fontsize=9)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7)
    for axes in panels.flat[len(chosen):]:
        axes.axis('off')
    return figure
