"""Sphereface-Prune's comparison: what runs measured beside what is printed."""

from sphereslim.counts import kept_count
from sphereslim.groups import Groups
from sphereslim.netparts import NETWORK
from sphereslim.netstats import measure, total
from sphereslim.prototxt import read_net
from sphereslim.prune_runs import accuracy_of, last_stage, sizes
from sphereslim.report.cells import ANALYTIC, MEASURED, PUBLISHED, Cell, Figure, Table
from sphereslim.surgery import prune_prototxt

COLUMNS = ['network', 'parameters at full width', 'published', 'parameters here', 'accuracy', 'lost', 'published',
           'forward', 'published', 'backward', 'published']
NOTE = ('Forward and backward are by caffe time, the original\'s time over the pruned net\'s, all nets in turns. '
        'Accuracies depend on the faces: what to compare is how much pruning loses, in points. A published cell is '
        'empty where the source printed none.')


def comparison(bases, plans, speed, printed):
    """(Table, rows as plain values) of bases and of runs [(Base, rate, Plan)]; `speed` is {stage folder: times}."""
    rows = []
    for base in bases:
        rows.append(_row(base, None, base.stage(), (), speed, printed))
        rows += [_row(base, rate, last_stage(plan), plan.layers, speed, printed)
                 for own, rate, plan in plans if own is base]
    return Table('Original and pruned networks', COLUMNS, [_cells(row) for row in rows], NOTE), rows


def _row(base, rate, stage, layers, speed, printed):
    start, own = speed[str(base.stage().folder)], speed[str(stage.folder)]
    result, before = accuracy_of(stage), accuracy_of(base.stage())
    row = {'net': base.name, 'rate': rate, 'full_parameters': _full_size(base, layers, rate, base.plan.criterion),
           'parameters': sizes(stage.deploy).parameters, 'accuracy': result['accuracy'], 'error': result['error'],
           'lost': before['accuracy'] - result['accuracy'], 'macs': sizes(stage.deploy).macs,
           'forward_ratio': start['forward'] / own['forward'], 'backward_ratio': start['backward'] / own['backward']}
    return row | {'published': _published(printed, base.name, rate)}


def _full_size(base, layers, rate, criterion):
    """Parameters of the unscaled net pruned alike."""
    net = read_net(base.original / 'deploy.prototxt')
    groups = Groups(net)
    pairs = criterion == 'greedy_pair'
    kept = {name: range(kept_count(groups.of(name).size, rate, pairs)) for name in layers}
    return total(measure(prune_prototxt([net], kept, groups)[0]), NETWORK).parameters


def _published(printed, name, rate):
    """{params, lost, forward_ratio, backward_ratio} that the source prints, as far as it does."""
    found = {row.get('rate'): row for row in printed['comparison'] if row['net'].lower() == name}
    whole = found.get(None) or next((row for row in printed['base_models'] if row['net'].lower() == name), None)
    row = whole if rate is None else found.get(rate)
    if row is None:
        return {}
    values = {'params': row['params'], 'lost': whole['lfw'] - row.get('lfw', row.get('lfw_avg'))}
    for name in ('forward', 'backward'):
        if f'{name}_ms' in row:
            values[f'{name}_ratio'] = whole[f'{name}_ms'] / row[f'{name}_ms']
    return values


def _cells(row):
    name = row['net'] if row['rate'] is None else f'{row["net"]} at {row["rate"]:g}'
    printed = row['published']
    cells = [Cell(name), Cell(f'{row["full_parameters"] / 1e6:.1f} M', ANALYTIC),
             _printed(printed, 'params', lambda value: f'{value / 1e6:.1f} M'),
             Cell(f'{row["parameters"]:,}', ANALYTIC),
             Cell(f'{row["accuracy"]:.2f} ± {row["error"]:.2f} %', MEASURED)]
    for quantity, form in (('lost', '{:.2f}'), ('forward_ratio', '{:.2f}×'), ('backward_ratio', '{:.2f}×')):
        cells += [Cell(form.format(row[quantity]), MEASURED), _printed(printed, quantity, form.format)]
    return cells


def _printed(values, name, form):
    return Cell(form(values[name]), PUBLISHED) if name in values else Cell('')


def comparison_figure(rows):
    """The Figure of accuracy over parameters, one line per network."""
    return Figure('accuracy-size', 'Accuracy against size', 'Each network from its original down to the lowest rate.',
                  lambda: _draw(rows))


def _draw(rows):
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(figsize=(4.6, 3.2), layout='constrained')
    for name in dict.fromkeys(row['net'] for row in rows):
        own = [row for row in rows if row['net'] == name]
        axes.errorbar([row['parameters'] / 1e6 for row in own], [row['accuracy'] for row in own],
                      [row['error'] for row in own], fmt='o-', ms=4, capsize=3, label=name)
    axes.set(xlabel='million parameters without the classifier', ylabel='verification accuracy, %')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
