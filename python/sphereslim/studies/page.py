"""A page of the documentation that several studies write their tables into, each between marks of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sphereslim.files import write_json
from sphereslim.report.cells import ReportTable
from sphereslim.report.write import write_into


def keep_on_page(page: str | Path, study: str, tables: Sequence[ReportTable], figures: dict[str, Any]) -> None:
    """Put the tables of a study into the Markdown file `page`, and what they are made of beside it.

    The figures go to <page without .md>/<study>.json.
    """
    page = Path(page)
    write_into(page, (f'<!-- {study}: written by its command -->', f'<!-- end of {study} -->'), tables)
    write_json(page.with_suffix('') / f'{study}.json', figures)
