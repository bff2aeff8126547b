"""The poster's three tables beside ours, the claims put to the test, two plots: report.md and report.json."""

from sphereslim.files import write_bytes, write_json
from sphereslim.flame.nets import BASELINE, VARIANTS, printed_name
from sphereslim.printed import read_published
from sphereslim.tables import markdown_table

MEGA = 10**6
STAGE2_BITS = {BASELINE: 6, 'dwpw': 9, 'fire': 8, 'flame': 10}


def stage1_table(results, published):
    """Rows of every variant: accuracy, size and multiply-accumulates, ours and printed."""
    printed = {row['model']: row for row in read_published(published, 'flame')['stage1']}
    rows = []
    for variant in [*VARIANTS, 'distilled']:
        ours, name = results[variant], VARIANTS[variant][0] if variant in VARIANTS else ''
        theirs = printed.get(name, {'size_mb': '', 'flops_m': '', 'val_acc': ''})
        rows.append([variant, f'{ours["accuracy"]:.2f}', f'{ours["bytes"] / MEGA:.3f}', f'{ours["macs"] / MEGA:.1f}',
                     theirs['val_acc'], theirs['size_mb'], theirs['flops_m']])
    columns = ('network', 'accuracy, %', 'MB', 'MACs, M', 'printed: accuracy', 'MB', 'flops, M')
    return markdown_table(columns, rows)


def stage2_table(sweeps, results, published):
    """Rows of log min-max at the printed bits."""
    rows = []
    for row in read_published(published, 'flame')['stage2']:
        variant = next(name for name in VARIANTS if printed_name(name) == row['model'])
        if int(row['bits']) == 32:
            accuracy, size = results[variant]['accuracy'], results[variant]['bytes']
        else:
            found = find(sweeps.get(variant, ()), 'log', int(row['bits']))
            if not found:
                continue
            accuracy, size = found['value'], found['bytes']
        rows.append([variant, row['bits'], f'{accuracy:.2f}', f'{size / MEGA:.3f}', row['val_acc'], row['size_mb']])
    return markdown_table(('network', 'bits', 'accuracy, %', 'MB', 'printed: accuracy', 'MB'), rows)


def quantizers_table(sweeps, results, binary, published):
    """Rows of the baseline's quantizers, and linear ones at 6 bits beside them."""
    rows = sweeps.get(BASELINE, ())
    ours = {'none': (results[BASELINE]['accuracy'], results[BASELINE]['bytes']),
            'log min-max (CNN only)': _pair(find(rows, 'log', 6, 'conv')),
            'log min-max (whole network)': _pair(find(rows, 'log', 6)),
            'binarization training': (binary['accuracy'], binary['bytes'])}
    lines = [[row['method'], row['bits'], *_shown(ours[row['method']]), row['val_acc'], row['size_mb']]
             for row in read_published(published, 'flame')['quantizers']]
    lines += [[scheme, 6, *_shown(_pair(find(rows, scheme, 6))), '', ''] for scheme in ('linear', 'linear-filter')]
    return markdown_table(('quantizer of ' + BASELINE, 'bits', 'accuracy, %', 'MB', 'printed: accuracy', 'MB'), lines)


def find(rows, scheme, bits, layers='all'):
    """The sweep's row, or None."""
    return next((row for row in rows if (row['scheme'], row['bits'], row['layers']) == (scheme, bits, layers)), None)


def _pair(row):
    return (row['value'], row['bytes']) if row else None


def _shown(pair):
    return (f'{pair[0]:.2f}', f'{pair[1] / MEGA:.3f}') if pair else ('', '')


def claims(results, sweeps, error):
    """Sentences on the print's orderings as measured here; differences within `error` points decide nothing."""
    base, flame = results[BASELINE], results['flame']
    lines = [_said('flame keeps the accuracy of ' + BASELINE, flame['accuracy'], base['accuracy'], error, keeps=True)
             + f' It is {base["bytes"] / flame["bytes"]:.1f} times smaller.',
             _said('distillation helps flame', results['distilled']['accuracy'], flame['accuracy'], error)]
    for variant, rows in sweeps.items():
        for bits, reading in ((6, 'the sign one of 6 bits'), (7, 'the sign beside 6 bits, 7 stored')):
            pair = find(rows, 'log', bits), find(rows, 'linear', 6)
            if all(pair):
                claim = f'6-bit log min-max ({reading}) beats 6-bit linear on {variant}'
                lines.append(_said(claim, *(row['value'] for row in pair), error))
    return lines


def _said(claim, ours, other, error, keeps=False):
    difference = ours - other
    if abs(difference) <= error:
        verdict = 'holds within chance' if keeps else 'undecided'
    else:
        verdict = 'holds' if difference > 0 else 'does not hold'
    return f'{claim}: **{verdict}** ({ours:.2f} % against {other:.2f} %, chance {error:.1f} points).'


def write(run, results, sweeps, binary, chosen, published, command):
    """report.md, report.json, sizes.png and bits.png in the run's folder; the path of report.md."""
    said = claims(results, sweeps, run.top1.error)
    lines = ['# Small face classifiers', '', f'{run.lists.people} people, {run.lists.train_count} pictures to train '
             f'on, {run.lists.val_count} to validate; `{command}`.', '', '## Module substitution', '',
             stage1_table(results, published), '', '![accuracy and size](sizes.png)', '', '## Quantization', '',
             stage2_table(sweeps, results, published), '', '![accuracy and bits](bits.png)', '', '## Quantizers', '',
             quantizers_table(sweeps, results, binary, published), '', '## What was claimed', '',
             *(f'- {line}' for line in said), '', '## The file', '', chosen['text'], '']
    write_bytes(run.folder / 'report.md', '\n'.join(lines).encode())
    write_json(run.folder / 'report.json', {'results': results, 'sweeps': sweeps, 'binary': binary, 'chosen': chosen,
                                            'claims': said})
    _plot_sizes(results, run.folder / 'sizes.png')
    _plot_bits(results, sweeps, run.folder / 'bits.png')
    return run.folder / 'report.md'


def _plot_sizes(results, path):
    figure, axes = _figure()
    for variant, row in results.items():
        axes.plot(row['bytes'] / MEGA, row['accuracy'], 'o')
        axes.annotate(variant, (row['bytes'] / MEGA, row['accuracy']), textcoords='offset points', xytext=(5, 4),
                      fontsize=8)
    axes.set_xscale('log')
    axes.set(xlabel='size as float32, MB', ylabel='validation accuracy, %')
    figure.savefig(path, dpi=120)


def _plot_bits(results, sweeps, path):
    figure, axes = _figure()
    styles = {'log': '-', 'linear': '--', 'linear-filter': ':'}
    for number, (variant, rows) in enumerate(sweeps.items()):
        for scheme, style in styles.items():
            line = [row for row in rows if row['scheme'] == scheme and row['layers'] == 'all']
            axes.plot([row['bits'] for row in line], [row['value'] for row in line], style, color=f'C{number}',
                      label=f'{variant}, {scheme}')
        axes.axhline(results[variant]['accuracy'], color=f'C{number}', alpha=0.3)
    axes.set(xlabel='bits per weight (pale lines: float32)', ylabel='validation accuracy, %')
    axes.legend(fontsize=6, ncol=2)
    figure.savefig(path, dpi=120)


def _figure():
    from matplotlib.figure import Figure
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes
