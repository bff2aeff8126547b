"""Tables of a report as Markdown, or as text for a terminal."""

from sphereslim.report.cells import ReportCell, ReportTable
from sphereslim.report.text_tables import markdown_table, text_table


def table_markdown(table: ReportTable) -> list[str]:
    """The lines of a ReportTable with its title and note."""
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    return [f'## {table.title}', '', markdown_table(table.columns, rows), '', table.note, '']


def table_text(table: ReportTable) -> str:
    """A ReportTable as aligned text for a terminal, without title and note."""
    return text_table(table.columns, [[cell.text for cell in row] for row in table.rows])


def _cell(cell: ReportCell) -> str:
    return f'{cell.text} ({cell.source[0]})' if cell.source else cell.text
