"""A report as report.json, report.md with its pictures, and report.html, one file that works offline."""

from pathlib import Path
from typing import Any

from sphereslim.errors import SlimError
from sphereslim.files import write_bytes
from sphereslim.report.drawing import png
from sphereslim.report.write import write_files
from sphereslim.studies.pipeline_report.figures import figures
from sphereslim.studies.pipeline_report.markdown import markdown
from sphereslim.studies.pipeline_report.page import page
from sphereslim.studies.pipeline_report.tables import published_table, sets_table, stage_table


def write(report: dict[str, Any], folder: Path) -> Path:
    """Write the report into `folder`, pictures included; the path of the page."""
    tables = [table for table in (stage_table(report), sets_table(report), published_table(report)) if table]
    drawn = {heading: [(figure, png(figure.draw())) for figure in found] for heading, found in figures(report).items()}
    every = [each for found in drawn.values() for each in found]
    return write_files(folder, report, tables, every, markdown(report, tables, drawn), page(report, tables, drawn))


def write_figure(report: dict[str, Any], folder: Path, name: str) -> Path:
    """Draw one figure of the report again; its path. SlimError lists the figures there are."""
    known = {figure.name: figure for found in figures(report).values() for figure in found}
    if name not in known:
        raise SlimError(f'no figure {name}, expected one of: {", ".join(known)}')
    path = folder / f'{name}.png'
    write_bytes(path, png(known[name].draw()))
    return path
