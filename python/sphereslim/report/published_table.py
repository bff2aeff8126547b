"""Published figures: reading them, printed ones beside computed ones: when they agree, and tables that show it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Any

from sphereslim.errors import SlimError
from sphereslim.files import read_text
from sphereslim.report.text_tables import markdown_table, text_table

COLUMNS = ('row', 'quantity', 'ours', 'print', 'difference', 'verdict')
_UNITS = {0: '', 3: ' K', 6: ' M', 9: ' G'}


def read_published(folder: str | Path, name: str) -> Any:
    """A file of published figures with its numbers as Decimal, so that the digits printed are known."""
    path = Path(folder) / f'{name}.json'
    try:
        return json.loads(read_text(path, 'JSON'), parse_float=Decimal, parse_int=Decimal)
    except ValueError as error:
        raise SlimError(f'{path}: is not JSON ({error})') from None


@dataclass
class PublishedCell:
    """One figure of a table: `ours` computed, `printed` a Decimal whose exponent tells the last printed place."""

    row: str
    column: str
    ours: float
    printed: Decimal
    note: str = ''

    @property
    def step(self) -> float:
        """One unit in the last printed place."""
        return 10.0 ** _exponent(self.printed)

    @property
    def difference(self) -> float:
        """Ours minus the print."""
        return self.ours - float(self.printed)

    @property
    def agrees(self) -> bool:
        """Whether our figure rounds to the print; a tie may go either way."""
        return abs(self.difference) <= 0.5 * self.step * (1 + 1e-9)

    @property
    def verdict(self) -> str:
        """'agrees', 'cut' or 'raised' (the print is ours rounded down or up, not to the nearest), or 'differs'."""
        if self.agrees:
            return 'agrees'
        if abs(self.difference) < self.step:
            return 'cut' if self.difference > 0 else 'raised'
        return 'differs'


@dataclass
class PublishedTable:
    """A published table: its cells in order, and notes on how it is to be read."""

    title: str
    source: str
    cells: list[PublishedCell]
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain dicts and lists; numbers in their plain unit."""
        cells = [
            {'row': c.row, 'column': c.column, 'ours': c.ours, 'printed': float(c.printed)}
            | {'difference': c.difference, 'verdict': c.verdict, 'note': c.note}
            for c in self.cells
        ]
        return {'title': self.title, 'source': self.source, 'notes': self.notes, 'cells': cells}

    def as_text(self) -> str:
        """Aligned text with the notes below."""
        return self._render(text_table, '')

    def as_markdown(self) -> str:
        """A Markdown section with the notes as a list."""
        return self._render(markdown_table, '### ')

    def _render(self, table: Callable[..., str], heading: str) -> str:
        marks = {id(c): f' [{i}]' for i, c in enumerate((c for c in self.cells if c.note), start=1)}
        rows = [_row(c, marks.get(id(c), '')) for c in self.cells]
        remarks = [f'[{i}] {c.row}, {c.column}: {c.note}' for i, c in enumerate((c for c in self.cells if c.note), 1)]
        lines = [f'- {note}' for note in [self.source, *self.notes]] + [f'- {remark}' for remark in remarks]
        return f'{heading}{self.title}\n\n{table(COLUMNS, rows, left=2)}\n\n' + '\n'.join(lines)


def note_unequal_prints(cells: Sequence[PublishedCell]) -> None:
    """Notes on cells one unit off in the last place whose very figure the same source prints in another way."""
    for cell in cells:
        others = [c for c in cells if c.ours == cell.ours and c.agrees and c.step == cell.step]
        if cell.verdict in ('cut', 'raised') and others:
            shown = scaled_like(others[0].printed, others[0].printed)
            cell.note = f'the same figure is printed as {shown} for {others[0].row}, {others[0].column}'


def explain_total(cell: PublishedCell, rows: Sequence[PublishedCell]) -> PublishedCell:
    """The cell of a printed total, with a note where it is at odds with the print's own rows."""
    printed = float(cell.printed)
    added = sum(float(row.printed) for row in rows)
    room = sum(0.5 * row.step for row in rows) + 0.5 * cell.step
    if cell.agrees or abs(added - printed) <= room:
        return cell
    cell.note = f'the printed rows add up to {scaled_like(added, cell.printed)}, not to the printed total'
    same = [row.row for row in rows if abs(row.ours - cell.difference) <= 0.5 * cell.step]
    if same and len(same) < len(rows):
        cell.note += f', which lacks one row the size of {" or ".join(same)}'
    return cell


def scaled_like(number: float | Decimal, printed: Decimal, digits: int = 0) -> str:
    """`number` with the unit and the decimals of a printed figure, and `digits` more decimals."""
    exponent = _exponent(printed)
    power = max(3 * ceil(exponent / 3), 3 * min(3, (printed.adjusted()) // 3), 0)
    decimals = max(0, power - exponent) + digits
    return f'{float(number) / 10**power:.{decimals}f}{_UNITS[power]}'


def _exponent(printed: Decimal) -> int:
    """The power of ten of the last printed place."""
    return int(printed.as_tuple().exponent)


def _row(cell: PublishedCell, mark: str) -> list[str]:
    shown = [scaled_like(v, cell.printed, d) for v, d in ((cell.ours, 2), (cell.printed, 0), (cell.difference, 2))]
    shown[2] = shown[2] if shown[2].startswith('-') else f'+{shown[2]}'
    return [cell.row, cell.column, *shown, cell.verdict + mark]
