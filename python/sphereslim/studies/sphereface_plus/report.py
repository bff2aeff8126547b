"""The report of SphereFace+ runs: the published table of runs beside ours, tables and figures of what the term does."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from sphereslim.evaluation.paired import lost_error
from sphereslim.files import read_json
from sphereslim.net.prototxt import read_solver
from sphereslim.report.cells import MEASURED, PUBLISHED, Figure, ReportCell, ReportTable, loss_text
from sphereslim.report.drawing import panels
from sphereslim.report.text_tables import text_table
from sphereslim.report.write import write_report
from sphereslim.studies.pipeline_report.collect import stage_curves
from sphereslim.studies.sphereface_plus import training
from sphereslim.studies.sphereface_plus.term import strength, term_table, verdicts
from sphereslim.training.stage import Stage

COLUMNS = ('margin', 'whose', 'base', 'runs', 'mean', 'deviation', 'released', 'lost to the base')
CURVES = ('loss', 'lambda', 'inter-class distance', 'lr')
SIZE = (4.6, 3.2)
Points = Sequence[Sequence[float]]  # (iteration, value)


def collect(plan: training.Plan, published: dict[str, Any]) -> dict[str, Any]:
    """What the report shows, as plain values, from the stages of a Plan and the published figures."""
    return {
        'title': f'SphereFace+ on {plan.net.name}',
        'net': str(plan.net),
        'folder': str(plan.folder),
        'people': plan.faces.people,
        'pictures': plan.faces.count,
        'margins': [_margin(plan, margin, published) for margin in plan.margins],
    }


def _margin(plan: training.Plan, margin: training.Margin, published: dict[str, Any]) -> dict[str, Any]:
    runs = plan.runs_of(margin)
    number, _ = training.release(plan, margin)
    start = [0, *training.base_angles(plan, margin)]
    base = training.accuracy(plan, plan.base_of(margin))
    judged = [training.accuracy(plan, stage) for stage, _, _ in runs]
    found = {
        'name': margin.name,
        'alpha': margin.alpha,
        'released': number,
        'batch': margin.schedule.batch,
        'momentum': read_solver(runs[0][0].solver).momentum,
        'iterations': margin.schedule.iterations,
        'base': base['accuracy'],
        'lost_error': lost_error(base, judged[number - 1]),
        'with': [_run(plan, stage, start) for stage, _, _ in runs[: plan.runs]],
        'without': [_run(plan, stage, start) for stage, _, _ in runs[plan.runs :]],
        'gain_errors': [lost_error(*both) for both in zip(judged[plan.runs :], judged)],
        'published': {'base': published['pretrained_lfw'].get(margin.name), **published['runs'].get(margin.name, {})},
    }
    return found | {'strength': strength(found, plan.faces.people) if training.is_among(margin) else {}}


def _run(plan: training.Plan, stage: Stage, start: Sequence[float]) -> dict[str, Any]:
    centres = stage.folder / 'centres.json'
    return {
        'accuracy': training.accuracy(plan, stage)['accuracy'],
        'centres': [start, *read_json(centres)] if centres.is_file() else [],
        'curves': {name: points for name, points in stage_curves(stage).items() if name in CURVES},
    }


def rows(report: dict[str, Any]) -> list[list[str]]:
    """The rows of the table of runs: ours and the published ones, as texts."""
    found = []
    for margin in report['margins']:
        ours = [run['accuracy'] for run in margin['with']]
        lost = loss_text(margin['base'] - ours[margin['released'] - 1], margin['lost_error'])
        found.append([margin['name'], 'ours', *_summary(margin['base'], ours, margin['released']), lost])
        printed = margin['published']
        if printed.get('acc'):
            summary = _summary(printed['base'], printed['acc'], printed['released'])
            lost = loss_text(printed['base'] - printed['acc'][printed['released'] - 1], None)
            found.append([margin['name'], 'published', *summary, lost])
    return found


def _summary(base: float, accuracies: Sequence[float], released: int) -> list[str]:
    spread = f'{stdev(accuracies):.2f}' if len(accuracies) > 1 else ''
    return [
        f'{base:.2f}',
        ' '.join(f'{a:.2f}' for a in accuracies),
        f'{mean(accuracies):.2f}',
        spread,
        f'#{released}: {accuracies[released - 1]:.2f}',
    ]


def table_text(report: dict[str, Any]) -> str:
    """The table of runs and the verdicts for a terminal."""
    return '\n'.join([text_table(COLUMNS, rows(report), left=2), *verdicts(report)])


def runs_table(report: dict[str, Any]) -> ReportTable:
    """The ReportTable of runs: ours and the published ones."""
    cells = [
        [
            ReportCell(row[0]),
            ReportCell(row[1]),
            *[ReportCell(text, (MEASURED if row[1] == 'ours' else PUBLISHED) if text else '') for text in row[2:]],
        ]
        for row in rows(report)
    ]
    note = (
        'Accuracy in percent. Published: SphereFace-20 on CASIA-WebFace, verified on LFW. The run with the median '
        'accuracy is kept in released/; what it lost to its base stands with the paired standard error over the pairs.'
    )
    return ReportTable('The table of runs', list(COLUMNS), cells, note)


def tables(report: dict[str, Any]) -> list[ReportTable]:
    """The ReportTables of runs and, where a margin also trained without the term, of what it does."""
    term = term_table(report)
    return [runs_table(report), *([term] if term.rows else [])]


def page_values(report: dict[str, Any]) -> dict[str, Any]:
    """What a page keeps of a report: all but the curves, and where it was made."""
    margins = [
        margin
        | {
            kind: [{name: value for name, value in run.items() if name != 'curves'} for run in margin[kind]]
            for kind in ('with', 'without')
        }
        for margin in report['margins']
    ]
    return {name: value for name, value in report.items() if name != 'folder'} | {'margins': margins}


def write(report: dict[str, Any], folder: Path, command: str) -> Path:
    """Write the report into `folder`; the path of the page."""
    facts = [
        ('network', report['net']),
        ('faces', f'{report["pictures"]} pictures of {report["people"]} people'),
        ('run with', command),
    ]
    figures = [figure for margin in report['margins'] for figure in _figures(margin)]
    return write_report(
        folder,
        report['title'],
        facts,
        tables(report),
        figures,
        report | {'command': command},
        verdicts(report),
    )


def _figures(margin: dict[str, Any]) -> list[Figure]:
    name = margin['name']
    found = [
        Figure(
            f'loss-{name}',
            f'{name}: classification loss',
            'Without the inter-class distance, which is part of the loss that the log shows.',
            lambda: _draw(margin, _classification_loss, 'loss'),
        ),
        Figure(
            f'distance-{name}',
            f'{name}: inter-class distance',
            'Hovers near a constant, twice the batch size, as rows are of unit length.',
            lambda: _draw(margin, _curve('inter-class distance'), 'distance'),
        ),
    ]
    if any(run['centres'] for run in margin['with']):
        found += [
            _angles(
                margin,
                'mean',
                1,
                'Mean over all pairs of classes at every snapshot; their mean cosine cannot be below -1/(classes - 1).',
            ),
            _angles(margin, 'nearest', 2, 'Angle to the nearest other class centre, mean over the classes.'),
        ]
    return found


def _angles(margin: dict[str, Any], kind: str, place: int, text: str) -> Figure:
    return Figure(
        f'angle-{kind}-{margin["name"]}',
        f'{margin["name"]}: {kind} angle between class centres',
        text,
        lambda: _draw(margin, lambda run: [(row[0], row[place]) for row in run['centres']], 'degrees'),
    )


def _classification_loss(run: dict[str, Any]) -> Points:
    distance = dict(run['curves'].get('inter-class distance', []))
    return [(i, loss - distance[i]) for i, loss in run['curves'].get('loss', []) if i in distance]


def _curve(quantity: str) -> Callable[[dict[str, Any]], Points]:
    return lambda run: run['curves'].get(quantity, [])


def _draw(margin: dict[str, Any], points: Callable[[dict[str, Any]], Points], label: str) -> Any:
    figure, axes = panels(SIZE)
    for kind, style, colour in (('with', '-', 'C0'), ('without', '--', 'C1')):
        for place, run in enumerate(margin[kind]):
            line = np.array(points(run))
            if len(line):
                axes.plot(
                    *line.T,
                    style,
                    color=colour,
                    lw=1.1,
                    marker='.' if len(line) < 20 else '',
                    label=f'{kind} the term' if not place else None,
                )
    axes.set(xlabel='iteration', ylabel=label)
    axes.ticklabel_format(useOffset=False)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
