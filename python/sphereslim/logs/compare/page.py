"""A comparison as one HTML file that works offline and on a phone."""

import base64
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from sphereslim.logs.compare.compare import Pair
from sphereslim.logs.compare.plots import MOST_PAIRS, draw_pairs, draw_trainings
from sphereslim.logs.compare.text import (
    checkpoint_rows,
    course_line,
    course_words,
    curve_words,
    run_words,
    time_rows,
    verdict_words,
)
from sphereslim.logs.compare.verdict import IDENTICAL
from sphereslim.logs.trainings import QUANTITIES, LoggedTraining
from sphereslim.report.drawing import png
from sphereslim.report.html import document

STYLE = """
body{font:16px/1.45 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:.8rem;color:#222;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2rem;overflow-wrap:anywhere}
img{width:100%;max-width:42rem;height:auto;display:block}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
td,th{padding:.2rem .6rem;border-bottom:1px solid #ddd;text-align:right}td:first-child,th:first-child{text-align:left}
.verdict{display:inline-block;padding:0 .5rem;border-radius:.6rem;background:#eee;white-space:nowrap}
.good{background:#d3f0d6}.bad{background:#f8d4d0}p,li{overflow-wrap:anywhere}
@media print{h2,img,table{break-inside:avoid}}
"""
GOOD, BAD = ('identical', 'matches', 'as declared', 'as its formula'), ('differs',)


def page(sources: Sequence[Any], pairs: Sequence[Pair]) -> str:
    """HTML text. sources: [(training, checks)] of every log and figure, pairs: [Pair]."""
    parts = ['<h1>Training logs: published against ours</h1>' if pairs else '<h1>Training log</h1>']
    if pairs:
        parts += [_summary(pairs), *_figures(pairs), *[_pair(pair) for pair in pairs]]
    else:
        parts += [_image(draw_trainings([training]), training.label) for training, _ in sources]
    parts += ['<h2>What each log says on its own</h2>', *[_source(training, checks) for training, checks in sources]]
    return document('Training logs', STYLE, ''.join(parts))


def _summary(pairs: Sequence[Pair]) -> str:
    rows = [
        [
            _badge(verdict['verdict']),
            *map(escape, (course_words(verdict), verdict['quantity'], pair.ours.label, pair.published.label)),
        ]
        for pair in pairs
        for verdict in pair.verdicts
    ]
    return _table(['verdict', 'course', 'curve', 'ours', 'published'], rows)


def _figures(pairs: Sequence[Pair]) -> Iterator[str]:
    names = _quantities([training for pair in pairs for training in (pair.published, pair.ours)])
    for name in names:
        yield f'<h2>{escape(name)}</h2>'
        showing = [pair for pair in pairs if name in pair.published.curves or name in pair.ours.curves]
        for first in range(0, len(showing), MOST_PAIRS):
            yield _image(draw_pairs(name, showing[first : first + MOST_PAIRS]), f'{name} over the iterations')


def _quantities(trainings: Sequence[LoggedTraining]) -> list[str]:
    names = dict.fromkeys(name for training in trainings for name in training.curves)
    return sorted(names, key=lambda name: QUANTITIES.index(name) if name in QUANTITIES else len(QUANTITIES))


def _pair(pair: Pair) -> str:
    parts = [f'<h2>{escape(pair.ours.label)} against {escape(pair.published.label)}</h2>']
    parts += [f'<p>{escape(pair.nets)}</p>'] if pair.nets else []
    for verdict in pair.verdicts:
        parts.append(f'<p>{_badge(verdict["verdict"])} {escape(verdict_words(verdict))}</p>')
        if verdict['checkpoints'] and verdict['verdict'] != IDENTICAL:
            header, rows = checkpoint_rows(verdict)
            parts.append(_table(header, rows))
        if verdict['courses']:
            parts.append(f'<p>{escape(course_line(verdict))}</p>')
    if pair.times:
        header, rows = time_rows(pair)
        parts += [
            '<p>Iteration and training time at which the smoothed loss first reaches a level</p>',
            _table(header, rows),
        ]
    if not pair.verdicts:
        parts.append('<p>Nothing to compare: no quantity that both show.</p>')
    return ''.join(parts)


def _source(training: LoggedTraining, checks: Sequence[dict[str, Any]]) -> str:
    items = [f'run {place}: {escape(run_words(run))}' for place, run in enumerate(training.runs, 1)]
    items += [f'{escape(name)}: {escape(curve_words(curve))}' for name, curve in training.curves.items()]
    items += [f'{_badge(check["verdict"])} {escape(check["quantity"])}: {escape(check["text"])}' for check in checks]
    return f'<p><b>{escape(training.label)}</b></p><ul>{"".join(f"<li>{item}</li>" for item in items)}</ul>'


def _badge(verdict: str) -> str:
    kind = 'good' if verdict in GOOD else 'bad' if verdict in BAD else ''
    return f'<span class="verdict {kind}">{escape(verdict)}</span>'


def _image(figure: Any, description: str) -> str:
    data = base64.b64encode(png(figure)).decode()
    return f'<img alt="{escape(description)}" src="data:image/png;base64,{data}">'


def _table(header: Sequence[str], rows: Sequence[list[str]]) -> str:
    head = ''.join(f'<th>{cell}</th>' for cell in header)
    body = ''.join(f'<tr>{"".join(f"<td>{cell}</td>" for cell in row)}</tr>' for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
