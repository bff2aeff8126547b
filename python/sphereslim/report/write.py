"""A report of any run from facts, tables and figures: one page that works offline, Markdown and JSON."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from sphereslim.errors import SlimError
from sphereslim.files import write_bytes, write_json
from sphereslim.report.cells import SOURCES, Figure, ReportTable
from sphereslim.report.drawing import png
from sphereslim.report.html import STYLE, definitions, document, figure_html, legend, table_html
from sphereslim.report.markdown import table_markdown

Drawn = Sequence[tuple[Figure, bytes]]  # figures as PNG


def write_report(
    folder: Path,
    title: str,
    facts: Sequence[tuple[str, str]],
    tables: Sequence[ReportTable],
    figures: Sequence[Figure],
    data: dict[str, Any],
    notes: Sequence[str] = (),
) -> Path:
    """Write report.html, report.md, report.json and the figures' PNGs into `folder`; the path of the page.

    `facts` is [(name, text)], `tables` are ReportTables, `figures` are Figures, `data` plain values for the JSON file,
    `notes` paragraphs.
    """
    drawn = [(figure, png(figure.draw())) for figure in figures]
    texts = _markdown(title, facts, tables, drawn, notes), _html(title, facts, tables, drawn, notes)
    return write_files(folder, data, tables, drawn, *texts)


def write_files(
    folder: Path,
    data: dict[str, Any],
    tables: Sequence[ReportTable],
    drawn: Drawn,
    markdown: str,
    html: str,
) -> Path:
    """Write the files of a report whose figures are `drawn`, [(Figure, PNG bytes)]; the path of the page."""
    for figure, content in drawn:
        write_bytes(folder / f'{figure.name}.png', content)
    write_json(folder / 'report.json', data | {'tables': [table.as_dict() for table in tables]})
    write_bytes(folder / 'report.md', markdown.encode())
    page = folder / 'report.html'
    write_bytes(page, html.encode())
    return page


def _markdown(
    title: str,
    facts: Sequence[tuple[str, str]],
    tables: Sequence[ReportTable],
    drawn: Drawn,
    notes: Sequence[str],
) -> str:
    lines = [f'# {title}', '', *[f'- {name}: {text}' for name, text in facts], '']
    for table in tables:
        lines += table_markdown(table)
    for note in notes:
        lines += [note, '']
    for figure, _ in drawn:
        lines += [f'## {figure.title}', '', f'![{figure.text}]({figure.name}.png)', '', figure.text, '']
    return '\n'.join(lines)


def _html(
    title: str,
    facts: Sequence[tuple[str, str]],
    tables: Sequence[ReportTable],
    drawn: Drawn,
    notes: Sequence[str],
) -> str:
    marked = {cell.source for table in tables for row in table.rows for cell in row}
    sources = legend([name for name in SOURCES if name in marked])
    parts = [
        f'<h1>{escape(title)}</h1>',
        definitions((name, escape(text)) for name, text in facts),
        *map(table_html, tables),
        f'<p>{sources}</p>',
        *[f'<p>{escape(note)}</p>' for note in notes],
        '<div class="figures">',
        *[figure_html(figure, content) for figure, content in drawn],
        '</div>',
    ]
    return document(title, STYLE, ''.join(parts))


def write_into(path: str | Path, marks: tuple[str, str], tables: Iterable[ReportTable], drawn: Drawn = ()) -> None:
    """Put tables and figures between two marks, lines of the Markdown file `path`, or with them at the end of it.

    The figures' PNGs are written beside it. SlimError where only the first mark is there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text() if path.is_file() else '# ' + path.stem + '\n'
    lines = [line for table in tables for line in table_markdown(table)]
    for picture, content in drawn:
        write_bytes(path.parent / f'{picture.name}.png', content)
        lines += [f'![{picture.text}]({picture.name}.png)', '']
    part = '\n'.join([marks[0], '', *lines, marks[1]])
    if marks[0] in text:
        before, _, rest = text.partition(marks[0])
        if marks[1] not in rest:
            raise SlimError(f'{path}: has {marks[0]} without {marks[1]}')
        text = before + part + rest.partition(marks[1])[2]
    else:
        text = f'{text.rstrip()}\n\n{part}\n'
    write_bytes(path, text.encode())
