"""The poster's three tables beside ours, the claims put to the test, two plots: report.html, .md and .json."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sphereslim.evaluation.paired import lost_error, lost_text
from sphereslim.quantization.sweep import Point
from sphereslim.report.cells import MEASURED, PUBLISHED, Figure, ReportCell, ReportTable
from sphereslim.report.drawing import colours, panels, write_beside
from sphereslim.report.published_table import read_published
from sphereslim.report.write import write_report
from sphereslim.studies.flame.nets import BASELINE, VARIANTS, printed_name
from sphereslim.studies.flame.run import Run

MEGA = 10**6
SIZE = (6, 4)
PRINTED = 'Published: 120x120 pictures of the 2360 most photographed people of CelebA, the network at full width.'


def tables(
    run: Run,
    results: dict[str, Any],
    sweeps: Mapping[str, Sequence[Point]],
    binary: dict[str, Any],
    published: str | Path,
) -> list[ReportTable]:
    """The three Tables; `published` is the folder of the sources' figures."""
    printed = read_published(published, 'flame')
    return [
        stage1_table(results, printed),
        stage2_table(sweeps, results, printed, run.settings.sweep.tolerance),
        quantizers_table(sweeps, results, binary, printed),
    ]


def stage1_table(results: dict[str, Any], printed: dict[str, Any]) -> ReportTable:
    """A row of every variant: accuracy, size and multiply-accumulates, ours and printed."""
    named = {row['model']: row for row in printed['stage1']}
    rows = []
    for variant in [*VARIANTS, 'distilled']:
        ours, theirs = results[variant], named.get(VARIANTS[variant][0] if variant in VARIANTS else '', {})
        rows.append(
            [
                ReportCell(variant),
                _percent(ours['accuracy']),
                ReportCell('') if variant == BASELINE else ReportCell(lost_text(results[BASELINE], ours), MEASURED),
                ReportCell(f'{ours["bytes"] / MEGA:.3f}'),
                ReportCell(f'{ours["macs"] / MEGA:.1f}'),
                *[_printed(theirs.get(name)) for name in ('val_acc', 'size_mb', 'flops_m')],
            ]
        )
    columns = ['network', 'accuracy, %', 'lost', 'MB', 'MACs, M']
    columns += ['printed: accuracy, %', 'printed: MB', 'printed: FLOPs, M']
    return ReportTable(
        'Module substitution',
        columns,
        rows,
        f'Float32 sizes, with the classifier. Lost: points against {BASELINE}, with the paired standard error over '
        f'the same pictures. distilled: the student trained with {BASELINE} as its teacher. {PRINTED}',
    )


def stage2_table(
    sweeps: Mapping[str, Sequence[Point]], results: dict[str, Any], printed: dict[str, Any], tolerance: float
) -> ReportTable:
    """Rows of log min-max at the printed bits, and the fewest bits that keep the accuracy here."""
    rows = []
    for row in printed['stage2']:
        variant, bits = next(name for name in VARIANTS if printed_name(name) == row['model']), int(row['bits'])
        ours = (
            (results[variant]['accuracy'], results[variant]['bytes'])
            if bits == 32
            else _pair(find(sweeps.get(variant, ()), 'log', bits))
        )
        if not ours:
            continue
        fewest = (
            ReportCell('') if bits == 32 else _fewest(sweeps.get(variant, ()), results[variant]['accuracy'], tolerance)
        )
        rows.append(
            [
                ReportCell(variant),
                ReportCell(str(bits)),
                *_shown(ours),
                _printed(row['val_acc']),
                _printed(row['size_mb']),
                fewest,
            ]
        )
    columns = ['network', 'bits', 'accuracy, %', 'MB', 'printed: accuracy, %', 'printed: MB', 'bits needed']
    return ReportTable(
        'Log min-max quantization',
        columns,
        rows,
        'Whole network, the sign within the bits. Bits needed: '
        f'the fewest that lose at most {tolerance:g} points to float32.',
    )


def _fewest(rows: Sequence[Point], accuracy: float, tolerance: float) -> ReportCell:
    good = [
        row['bits']
        for row in rows
        if row['scheme'] == 'log' and row['layers'] == 'all' and row['value'] >= accuracy - tolerance
    ]
    return ReportCell(str(min(good)) if good else 'none tried', MEASURED)


def quantizers_table(
    sweeps: Mapping[str, Sequence[Point]], results: dict[str, Any], binary: dict[str, Any], printed: dict[str, Any]
) -> ReportTable:
    """Rows of the baseline's quantizers, and linear ones at 6 bits beside them."""
    rows = sweeps.get(BASELINE, ())
    ours = {
        'none': (results[BASELINE]['accuracy'], results[BASELINE]['bytes']),
        'log min-max (CNN only)': _pair(find(rows, 'log', 6, 'conv')),
        'log min-max (whole network)': _pair(find(rows, 'log', 6)),
        'binarization training': (binary['accuracy'], binary['bytes']),
    }
    lines = [
        [
            ReportCell(row['method']),
            ReportCell(str(row['bits'])),
            *_shown(ours[row['method']]),
            _printed(row['val_acc']),
            _printed(row['size_mb']),
        ]
        for row in printed['quantizers']
    ]
    lines += [
        [ReportCell(text), ReportCell('6'), *_shown(_pair(find(rows, scheme, 6))), ReportCell(''), ReportCell('')]
        for scheme, text in (('linear', 'linear min-max'), ('linear-filter', 'linear, a scale per filter'))
    ]
    columns = ['quantizer', 'bits', 'accuracy, %', 'MB', 'printed: accuracy, %', 'printed: MB']
    return ReportTable(
        f'Quantizers of {BASELINE}',
        columns,
        lines,
        'Binarization trains the convolutions but the first with '
        'one bit a weight and a scale per filter; the print counts two bits.',
    )


def find(rows: Sequence[Point], scheme: str, bits: int, layers: str = 'all') -> Point | None:
    """The sweep's row, or None."""
    return next((row for row in rows if (row['scheme'], row['bits'], row['layers']) == (scheme, bits, layers)), None)


def _pair(row: Point | None) -> tuple[float, int] | None:
    return (row['value'], row['bytes']) if row else None


def _shown(pair: tuple[float, int] | None) -> list[ReportCell]:
    return (
        [_percent(pair[0]), ReportCell(f'{pair[1] / MEGA:.3f}', MEASURED)] if pair else [ReportCell(''), ReportCell('')]
    )


def _percent(accuracy: float) -> ReportCell:
    return ReportCell(f'{accuracy:.2f}', MEASURED)


def _printed(value: object) -> ReportCell:
    return ReportCell('' if value is None else str(value), PUBLISHED if value not in (None, '') else '')


def _chance(one: Mapping[str, Any], other: Mapping[str, Any], error: float) -> float:
    """What chance explains of the difference of two results: two paired standard errors, or `error` if not known."""
    paired = lost_error(one, other)
    return error if paired is None else 2 * paired


def claims(results: dict[str, Any], sweeps: Mapping[str, Sequence[Point]], error: float) -> ReportTable:
    """The print's orderings as measured here, a ReportTable.

    Differences within two paired standard errors decide nothing, and within `error` points where those are not known.
    """
    base, flame = results[BASELINE], results['flame']
    rows = [
        _claim(
            f'flame keeps the accuracy at a {base["bytes"] / flame["bytes"]:.0f}th of the size',
            'flame',
            flame['accuracy'],
            base['accuracy'],
            _chance(base, flame, error),
            'holds within chance',
        ),
        _claim(
            'distillation helps',
            'flame',
            results['distilled']['accuracy'],
            flame['accuracy'],
            _chance(flame, results['distilled'], error),
        ),
    ]
    for variant, points in sweeps.items():
        for bits, reading in ((6, 'the sign one of 6 bits'), (7, 'the sign beside 6 bits, 7 stored')):
            logarithmic, linear = find(points, 'log', bits), find(points, 'linear', 6)
            if logarithmic and linear:
                rows.append(
                    _claim(
                        f'6-bit log min-max, {reading}, beats 6-bit linear',
                        variant,
                        logarithmic['value'],
                        linear['value'],
                        error,
                    )
                )
    return ReportTable(
        'What was claimed',
        ['claim', 'network', 'accuracy, %', 'against, %', 'verdict'],
        rows,
        'Differences between networks within two standard errors over the same pictures are chance, those between '
        f'quantizers within {error:.1f} points (two standard errors of an accuracy of 50 %). All networks train '
        'equally long here; deep and thin ones may need longer.',
    )


def _claim(
    claim: str, network: str, ours: float, other: float, error: float, near: str = 'undecided'
) -> list[ReportCell]:
    difference = ours - other
    verdict = near if abs(difference) <= error else 'holds' if difference > 0 else 'does not hold'
    return [ReportCell(claim), ReportCell(network), _percent(ours), _percent(other), ReportCell(verdict)]


def write(
    run: Run,
    results: dict[str, Any],
    sweeps: Mapping[str, Sequence[Point]],
    binary: dict[str, Any],
    chosen: dict[str, Any],
    published: str | Path,
    command: str,
) -> tuple[Path, list[ReportTable]]:
    """report.html, report.md, report.json, sizes.png and bits.png in the run's folder; (path of the page, Tables)."""
    shown = [*tables(run, results, sweeps, binary, published), claims(results, sweeps, run.top1.error)]
    facts = [
        (
            'pictures',
            f'{run.lists.people} people, {run.lists.train_count} pictures to train on, '
            f'{run.lists.val_count} to validate',
        ),
        ('the file', chosen['text']),
        ('run with', command),
        ('unpack the file with', chosen['unpack']),
    ]
    figures = [
        Figure('sizes', 'Accuracy and size', 'Every network as float32.', partial(_draw_sizes, results)),
        Figure('bits', 'Accuracy and bits', 'Pale lines: float32.', partial(_draw_bits, results, sweeps)),
    ]
    data = {'results': results, 'sweeps': sweeps, 'binary': binary, 'chosen': chosen}
    page = write_report(run.folder, 'Small face classifiers', facts, shown, figures, data)
    return page, shown


def _draw_sizes(results: dict[str, Any]) -> Any:
    figure, axes = _figure()
    points = [(row['bytes'] / MEGA, row['accuracy'], variant) for variant, row in results.items()]
    for (size, percent, _), colour in zip(points, colours(len(points))):
        axes.plot(size, percent, 'o', color=colour)
    axes.set_xscale('log')
    axes.margins(x=0.15)
    axes.set(xlabel='size as float32, MB', ylabel='validation accuracy, %')
    write_beside(axes, points)
    return figure


def _draw_bits(results: dict[str, Any], sweeps: Mapping[str, Sequence[Point]]) -> Any:
    figure, axes = _figure()
    styles = {'log': '-', 'linear': '--', 'linear-filter': ':'}
    for number, (variant, rows) in enumerate(sweeps.items()):
        for scheme, style in styles.items():
            line = [row for row in rows if row['scheme'] == scheme and row['layers'] == 'all']
            axes.plot(
                [row['bits'] for row in line],
                [row['value'] for row in line],
                style,
                color=f'C{number}',
                label=f'{variant}, {scheme}',
            )
        axes.axhline(results[variant]['accuracy'], color=f'C{number}', alpha=0.3)
    axes.set(xlabel='bits per weight', ylabel='validation accuracy, %')
    figure.legend(fontsize=7, loc='outside right upper')
    return figure


def _figure() -> tuple[Any, Any]:
    figure, axes = panels(SIZE)
    axes.grid(alpha=0.3)
    return figure, axes
