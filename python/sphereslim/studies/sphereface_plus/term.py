"""What the inter-class term of SphereFace+ does: runs with it against runs without, and how far it can turn centres."""

from collections.abc import Sequence
from math import degrees
from statistics import mean, stdev
from typing import Any

from sphereslim.report.cells import ANALYTIC, MEASURED, ReportCell, ReportTable, loss_text

COLUMNS = (
    'margin',
    'alpha',
    'gained by the term',
    'seed by seed',
    'mean angle with',
    'without',
    'nearest with',
    'without',
    'turned at most',
)


def strength(margin: dict[str, Any], people: int) -> dict[str, float]:
    """How far AMONG's formula lets a class row turn in a run, and how much of its bound the distance has reached.

    A row's gradient is 4 alpha / (M D^2) of its way from the unit mean row for each of its pictures in a batch of M;
    D, averaged over the classes, is 2 M (1 - |mean row|^2), hence at most 2 M.
    """
    curves = margin['with'][0]['curves']
    distances, rates = ([value for _, value in curves.get(name, [])] for name in ('inter-class distance', 'lr'))
    if not distances:
        return {}
    distance = mean(distances)
    path = margin['iterations'] * mean(rates) / (1 - margin['momentum'])
    turn = degrees(path * 4 * margin['alpha'] / (people * distance**2))
    return {'turn_degrees': turn, 'distance': distance, 'bound': 2 * margin['batch']}


def term_table(report: dict[str, Any]) -> ReportTable:
    """The ReportTable of every margin that also trained without the term."""
    rows = [_cells(margin) for margin in report['margins'] if margin['without']]
    note = (
        'Points gained on average with the standard error over the seeds; each seed with and without over the same '
        'pairs. Angles between class centres at the end, in degrees: over all pairs, and to the nearest other one. '
        'Turned at most: by its formula, how far the term alone turns a centre in a run.'
    )
    return ReportTable('With the inter-class term and without', list(COLUMNS), rows, note)


def _cells(margin: dict[str, Any]) -> list[ReportCell]:
    gains = _gains(margin)
    error = _standard_error(gains) if len(gains) > 1 else None
    angles = [_angle(margin[kind], place) for place in (1, 2) for kind in ('with', 'without')]
    turned = margin['strength'].get('turn_degrees')
    return [
        ReportCell(margin['name']),
        ReportCell(f'{margin["alpha"]:g}'),
        ReportCell(loss_text(mean(gains), error), MEASURED),
        ReportCell('; '.join(loss_text(*each) for each in zip(gains, margin['gain_errors'])), MEASURED),
        *(ReportCell('' if angle is None else f'{angle:.3f}', MEASURED) for angle in angles),
        ReportCell('' if turned is None else f'{turned:.3f}', ANALYTIC),
    ]


def _gains(margin: dict[str, Any]) -> list[float]:
    """Points that each seed gains by the term."""
    return [a['accuracy'] - b['accuracy'] for a, b in zip(margin['with'], margin['without'])]


def _standard_error(gains: Sequence[float]) -> float:
    """That of the mean of two `gains` or more."""
    return stdev(gains) / len(gains) ** 0.5


def _angle(runs: Sequence[dict[str, Any]], place: int) -> float | None:
    """The angle at a place of the rows of centres.json, at the end and averaged over runs."""
    ends = [run['centres'][-1][place] for run in runs if run['centres']]
    return mean(ends) if ends else None


def verdicts(report: dict[str, Any]) -> list[str]:
    """A sentence for every margin that also trained without the term: whether verification gained, with the spread."""
    found = []
    for margin in report['margins']:
        gains = _gains(margin)
        if not gains:
            continue
        said = f'{margin["name"]}: with the term (alpha {margin["alpha"]:g}) verification {_change(gains)}'
        each = [loss_text(gain, error) for gain, error in zip(gains, margin['gain_errors']) if error is not None]
        found.append(f'{said}; each seed over the same pairs {", ".join(each)}.' if each else f'{said}.')
        found += _seen(margin)
    return found


def _change(gains: Sequence[float]) -> str:
    """What `gains` say, in points, one of each seed; within two standard errors of their mean is no clear change."""
    said = f'{mean(gains):+.2f} points over {len(gains)} seed{"s" if len(gains) > 1 else ""}'
    if len(gains) < 3:
        return f'was measured too seldom to tell: {said}'
    error = _standard_error(gains)
    clear = 'gained' if mean(gains) > 2 * error else 'lost' if mean(gains) < -2 * error else 'shows no clear change'
    return f'{clear}: {said}, deviation {stdev(gains):.2f}'


def _seen(margin: dict[str, Any]) -> list[str]:
    """A sentence on what the term did to the class centres, beside what its formula lets it do."""
    strength = margin['strength']
    ends = [_angle(margin[kind], 1) for kind in ('with', 'without')]
    if ends[0] is None or ends[1] is None or not strength:
        return []
    return [
        f'{margin["name"]}: at the end the mean angle between class centres is {ends[0]:.4f} degrees with the term '
        f'and {ends[1]:.4f} without. By its formula, 4 alpha / (M D^2), the term turns a class centre by about '
        f'{strength["turn_degrees"]:.3f} degrees over the whole run, and the distance D is at '
        f'{strength["distance"]:.2f} of the {strength["bound"]:g} that it can reach.'
    ]
