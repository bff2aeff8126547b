"""The report of SphereFace+ runs: the published table of runs beside ours, and what the inter-class term does."""

from statistics import mean, stdev

import numpy as np

from sphereslim import plus
from sphereslim.files import read_json
from sphereslim.logs import parse_log
from sphereslim.logs.stages import stages as log_stages
from sphereslim.report.cells import MEASURED, PUBLISHED, Cell, Figure, Table
from sphereslim.report.simple import write_simple
from sphereslim.tables import text_table

COLUMNS = ('margin', 'whose', 'base', 'runs', 'mean', 'deviation', 'released')
SIZE = (4.6, 3.2)


def collect(plan, published):
    """What the report shows, as plain values, from the stages of a plus.Plan and the published figures."""
    return {
        'title': f'SphereFace+ on {plan.net.name}',
        'net': str(plan.net), 'folder': str(plan.folder), 'people': plan.faces.people, 'pictures': plan.faces.count,
        'margins': [_margin(plan, margin, published) for margin in plan.margins],
    }


def _margin(plan, margin, published):
    runs = plan.runs_of(margin)
    number, _ = plus.release(plan, margin)
    return {
        'name': margin.name, 'alpha': margin.alpha, 'released': number,
        'base': plus.accuracy(plan, plan.base_of(margin))['accuracy'],
        'with': [_run(plan, stage) for stage, _, _ in runs[:plan.runs]],
        'without': [_run(plan, stage) for stage, _, _ in runs[plan.runs:]],
        'published': {'base': published['pretrained_lfw'].get(margin.name), **published['runs'].get(margin.name, {})},
    }


def _run(plan, stage):
    centres = stage.folder / 'centres.json'
    joined = log_stages(parse_log(stage.log), stage.name)
    curves = joined[0].curves if joined else {}
    return {'accuracy': plus.accuracy(plan, stage)['accuracy'],
            'centres': read_json(centres) if centres.is_file() else [],
            'curves': {name: [[int(i), float(v)] for i, v in zip(curve.iteration, curve.value)]
                       for name, curve in curves.items() if name in ('loss', 'lambda', 'inter-class distance')}}


def rows(report):
    """The rows of the table of runs: ours and the published ones, as texts."""
    found = []
    for margin in report['margins']:
        ours = [run['accuracy'] for run in margin['with']]
        found.append([margin['name'], 'ours', *_summary(margin['base'], ours, margin['released'])])
        printed = margin['published']
        if printed.get('acc'):
            found.append([margin['name'], 'published', *_summary(printed['base'], printed['acc'], printed['released'])])
    return found


def _summary(base, accuracies, released):
    spread = f'{stdev(accuracies):.2f}' if len(accuracies) > 1 else ''
    return [f'{base:.2f}', ' '.join(f'{a:.2f}' for a in accuracies), f'{mean(accuracies):.2f}', spread,
            f'#{released}: {accuracies[released - 1]:.2f}']


def table_text(report):
    """The table of runs and the verdicts for a terminal."""
    return '\n'.join([text_table(COLUMNS, rows(report), left=2), *verdicts(report)])


def verdicts(report):
    """A sentence for every margin that also trained without the term: whether verification gained, with the spread."""
    found = []
    for margin in report['margins']:
        pairs = list(zip(margin['with'], margin['without']))
        if not pairs:
            continue
        gains = [a['accuracy'] - b['accuracy'] for a, b in pairs]
        spread = stdev(gains) if len(gains) > 1 else float('nan')
        error = spread / len(gains) ** 0.5
        clear = 'gained' if mean(gains) > 2 * error else 'lost' if mean(gains) < -2 * error else 'shows no clear change'
        found.append(f'{margin["name"]}: with the term (alpha {margin["alpha"]:g}) verification {clear}: '
                     f'{mean(gains):+.2f} points over {len(gains)} seeds, deviation {spread:.2f}.')
    return found


def write(report, folder, command):
    """Write the report into `folder`; the path of the page."""
    cells = [[Cell(row[0]), Cell(row[1]), *[Cell(text, (MEASURED if row[1] == 'ours' else PUBLISHED) if text else '')
                                            for text in row[2:]]] for row in rows(report)]
    note = ('Accuracy in percent. Published: SphereFace-20 on CASIA-WebFace, verified on LFW. The run with the median '
            'accuracy is kept in released/.')
    facts = [('network', report['net']), ('faces', f'{report["pictures"]} pictures of {report["people"]} people'),
             ('run with', command)]
    figures = [figure for margin in report['margins'] for figure in _figures(margin)]
    return write_simple(folder, report['title'], facts, [Table('The table of runs', list(COLUMNS), cells, note)],
                        figures, report | {'command': command}, verdicts(report))


def _figures(margin):
    name = margin['name']
    found = [Figure(f'loss-{name}', f'{name}: loss', 'Every run: total loss; dashed without the term.',
                    lambda: _draw(margin, _curve('loss'), 'loss')),
             Figure(f'distance-{name}', f'{name}: inter-class distance',
                    'Hovers near a constant, as rows are of unit length; the constant depends on the batch size.',
                    lambda: _draw(margin, _curve('inter-class distance'), 'distance'))]
    if any(run['centres'] for run in margin['with']):
        found.append(Figure(f'angle-{name}', f'{name}: angle to the nearest class centre',
                            'Mean over the classes at every snapshot; dashed without the term.',
                            lambda: _draw(margin, lambda run: [(i, near) for i, _, near in run['centres']], 'degrees')))
    return found


def _curve(quantity):
    return lambda run: run['curves'].get(quantity, [])


def _draw(margin, points, label):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=SIZE, layout='constrained')
    for kind, style, colour in (('with', '-', 'C0'), ('without', '--', 'C1')):
        for place, run in enumerate(margin[kind]):
            line = np.array(points(run))
            if len(line):
                axes.plot(*line.T, style, color=colour, lw=1.1, marker='.' if len(line) < 20 else '',
                          label=f'{kind} the term' if not place else None)
    axes.set(xlabel='iteration', ylabel=label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
