"""The report of a run as one HTML page."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sphereslim.report.cells import Figure, ReportTable
from sphereslim.report.html import STYLE, definitions, document, figure_html, legend, table_html
from sphereslim.studies.pipeline_report.captions import NOTES, checks, facts, redraw


def page(
    report: dict[str, Any], tables: Sequence[ReportTable], drawn: Mapping[str, Sequence[tuple[Figure, bytes]]]
) -> str:
    """HTML text; `tables` are Tables, `drawn` {heading: [(Figure, PNG bytes)]}."""
    parts = [f'<h1>{escape(report["title"])}</h1>', _facts(report), *map(table_html, tables), f'<p>{legend()}</p>']
    for heading, figures in drawn.items():
        parts += [f'<h2>{escape(heading)}</h2>']
        parts += [f'<p>{escape(NOTES[heading])}</p>'] if heading in NOTES else []
        parts += ['<div class="figures">', *[_figure(report, *each) for each in figures], '</div>']
    parts += ['<h2>The numbers again</h2>', definitions(((what, _code(text)) for what, text in checks(report)), 'long')]
    return document(report['title'], STYLE, ''.join(parts))


def _facts(report: dict[str, Any]) -> str:
    return definitions((name, _code(text) if name == 'run with' else escape(text)) for name, text in facts(report))


def _figure(report: dict[str, Any], figure: Figure, content: bytes) -> str:
    return figure_html(figure, content, _code(redraw(report, figure.name)))


def _code(text: str) -> str:
    return f'<code>{escape(text)}</code>'
