"""The report of a run as Markdown, with its pictures beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sphereslim.report.cells import SOURCES, Figure, ReportTable
from sphereslim.report.markdown import table_markdown
from sphereslim.studies.pipeline_report.captions import NOTES, checks, facts, redraw


def markdown(
    report: dict[str, Any], tables: Sequence[ReportTable], drawn: Mapping[str, Sequence[tuple[Figure, bytes]]]
) -> str:
    """Markdown text; arguments as for `page`."""
    lines = [f'# {report["title"]}', '', *[f'- {name}: {text}' for name, text in facts(report)], '']
    for table in tables:
        lines += table_markdown(table)
    lines += ['; '.join(f'({name[0]}) {name}: {text}' for name, text in SOURCES.items()) + '.', '']
    for heading, figures in drawn.items():
        lines += [f'## {heading}', '', *([NOTES[heading], ''] if heading in NOTES else [])]
        for figure, _ in figures:
            lines += [f'![{figure.text}]({figure.name}.png)', '', f'{figure.text} `{redraw(report, figure.name)}`', '']
    lines += ['## The numbers again', '', *[f'- {what}: `{command}`' for what, command in checks(report)], '']
    return '\n'.join(lines)
