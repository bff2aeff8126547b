"""A study's report: tables, plot and what was reached, from its results."""

from typing import Any

from sphereslim.evaluation.paired import lost_text
from sphereslim.report.cells import ANALYTIC, MEASURED, Figure, ReportCell, ReportTable, accuracy_text
from sphereslim.report.drawing import colours, panels
from sphereslim.report.text_tables import with_unit

MARKS = ('<!-- study: written by python/study.py -->', '<!-- end of study -->')


def tables(results: dict[str, Any], few: str) -> list[ReportTable]:
    """The Tables of headline nets and of all criteria; `few` says in words which pairs the latter are measured on."""
    return [_headline(results), _criteria(results, few)]


def _headline(results: dict[str, Any]) -> ReportTable:
    whole = results['original']
    rows = [_row('original', whole, whole, 0.0)]
    for name, result in results.items():
        words = _words(name, result)
        if words:
            rows.append(_row(f'{_percent(result, whole)} of the MACs, {words}', result, whole, result['shift']))
    columns = ['net', 'MACs', 'kept', 'parameters', '1 − cos', 'accuracy', 'lost']
    columns += [word for name in whole.get('sets', {}) for word in (name, 'lost')]
    return ReportTable(
        'All pairs',
        columns,
        rows,
        "1 − cos: mean distance of embeddings from the original's on pictures of "
        'people in no pair. Lost: points of accuracy against the original, with the standard error over the same '
        'pairs.',
    )


def _words(name: str, result: dict[str, Any]) -> str:
    """How a net of the first table was made, '' for a result of another table."""
    if name.startswith('headline-'):
        return f'{result["criterion"]}, refitted'
    if name.startswith('stepwise-'):
        return 'step by step, refitted'
    return f'distilled {result["cpu_seconds"] / 60:.1f} CPU-minutes' if name.startswith('distilled-') else ''


def _row(name: str, result: dict[str, Any], whole: dict[str, Any], shift: float) -> list[ReportCell]:
    measured = [(whole['all'], result['all'])]
    measured += [(before, result.get('sets', {}).get(key)) for key, before in whole.get('sets', {}).items()]
    return [
        ReportCell(name),
        ReportCell(with_unit(result['macs']), ANALYTIC),
        ReportCell(_percent(result, whole), ANALYTIC),
        ReportCell(with_unit(result['parameters']), ANALYTIC),
        ReportCell(f'{shift:.4f}', MEASURED),
        *(cell for before, after in measured for cell in _accuracy_cells(before, after)),
    ]


def _accuracy_cells(before: dict[str, Any], after: dict[str, Any] | None) -> list[ReportCell]:
    """An accuracy, and what it lost; empty where it was not measured."""
    if not after:
        return [ReportCell(''), ReportCell('')]
    return [
        ReportCell(accuracy_text(after['accuracy'], after['error']), MEASURED),
        ReportCell(lost_text(before, after), MEASURED),
    ]


def _percent(result: dict[str, Any], whole: dict[str, Any]) -> str:
    return f'{100 * result["macs"] / whole["macs"]:.1f} %'


def _criteria(results: dict[str, Any], few: str) -> ReportTable:
    whole = results['original']
    shots = {name: result for name, result in results.items() if 'refitted' in result}
    keys = list(dict.fromkeys((r['criterion'], r['budget'], r['uniform']) for r in shots.values()))
    rows = []
    for key in sorted(keys, key=lambda key: (-key[1], key[2])):
        found = {r['refitted']: r for r in shots.values() if (r['criterion'], r['budget'], r['uniform']) == key}
        any_ = next(iter(found.values()))
        cells = [
            ReportCell(key[0] + (', one rate for all' if key[2] else '')),
            ReportCell(_percent(any_, whole), ANALYTIC),
        ]
        for refitted in (False, True):
            result = found.get(refitted)
            cells += (
                [
                    ReportCell(f'{result["shift"]:.4f}', MEASURED),
                    ReportCell(f'{result["few"]["accuracy"]:.2f} %', MEASURED),
                ]
                if result
                else [ReportCell(''), ReportCell('')]
            )
        rows.append(cells)
    columns = ['criterion', 'MACs kept', '1 − cos cut', 'accuracy cut', '1 − cos refitted', 'accuracy refitted']
    note = (
        f'One shot, no training. Accuracy on {few}; the original reaches {whole["few"]["accuracy"]:.2f} ± '
        f'{whole["few"]["error"]:.2f} % there, so that differences of less than about a point say little, and the '
        'distance says more.'
    )
    return ReportTable('Every criterion, before and after refitting', columns, rows, note)


def figure(results: dict[str, Any], name: str) -> Figure:
    """The Figure of accuracy against MACs kept."""
    return Figure(
        name,
        'Accuracy against MACs',
        'Verification accuracy over the share of the MACs that is kept.',
        lambda: _draw(results),
    )


def _draw(results: dict[str, Any]) -> Any:
    figure, axes = panels((7, 4.2))
    whole = results['original']
    criteria = list(dict.fromkeys(r['criterion'] for r in results.values() if 'refitted' in r))
    for refitted, marker in ((False, 'v'), (True, 'o')):
        for criterion, colour in zip(criteria, colours(len(criteria))):
            points = sorted(
                (100 * r['macs'] / whole['macs'], r['few']['accuracy'])
                for r in results.values()
                if r.get('refitted') == refitted and r['criterion'] == criterion and not r['uniform']
            )
            axes.plot(
                *zip(*points),
                marker,
                ms=5,
                color=colour,
                alpha=0.9 if refitted else 0.45,
                label=f'{criterion}' if refitted else None,
            )
    for start, style, words in (
        ('headline', 'k*-', 'refitted on more pictures, all pairs'),
        ('stepwise', 'b*-', 'step by step, all pairs'),
        ('distilled', 'r*-', 'distilled, all pairs'),
    ):
        points = sorted(
            [(100 * r['macs'] / whole['macs'], r['all']['accuracy']) for n, r in results.items() if n.startswith(start)]
            + [(100, whole['all']['accuracy'])]
        )
        if len(points) > 1:
            axes.plot(*zip(*points), style, ms=9, lw=1, label=words)
    axes.set(
        xlabel='MACs kept, %   (triangles: cut; dots: refitted; a part of the pairs)', ylabel='verification accuracy, %'
    )
    axes.grid(alpha=0.3)
    figure.legend(fontsize=7, loc='outside right upper')
    return figure
