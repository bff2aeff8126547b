"""A report as Markdown, with its pictures beside it."""

from sphereslim.report.cells import SOURCES
from sphereslim.report.text_tables import markdown_table, text_table
from sphereslim.report.words import NOTES, checks, facts, redraw


def markdown(report, tables, drawn):
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


def table_markdown(table):
    """The lines of a Table with its title and note."""
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    return [f'## {table.title}', '', markdown_table(table.columns, rows), '', table.note, '']


def table_text(table):
    """A Table as aligned text for a terminal, without title and note."""
    return text_table(table.columns, [[cell.text for cell in row] for row in table.rows])


def _cell(cell):
    return f'{cell.text} ({cell.source[0]})' if cell.source else cell.text
