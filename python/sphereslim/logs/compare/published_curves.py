"""Curves read off published figures: csv with a column `iteration` and one column per curve, empty where hidden."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sphereslim.logs.curves import Curve
from sphereslim.logs.lines import LogError
from sphereslim.logs.trainings import QUANTITIES, LoggedTraining

# The published curves were read off printed figures to about this much.
READING_ERROR = 0.05


def read_figure(path: str | Path, column: str | None = None) -> list[LoggedTraining]:
    """A LoggedTraining per column of the csv (only `column` when given); the file's name ends in the quantity shown.

    Raises LogError for a missing or malformed file or an unknown column.
    """
    header, rows = _read(path)
    columns = [column] if column else header[1:]
    if unknown := [name for name in columns if name not in header[1:]]:
        raise LogError(f'{path}: no column {unknown[0]!r}, expected one of {", ".join(header[1:])}')
    stem = Path(path).stem
    quantity = next((name for name in QUANTITIES if stem.endswith(name.replace(' ', '_'))), 'loss')
    return [_training(path, quantity, name, rows) for name in columns]


def _read(path: str | Path) -> tuple[list[str], list[dict[str, float]]]:
    try:
        with open(path, newline='', encoding='utf-8') as file:
            header, *rows = [row for row in csv.reader(file) if row]
    except OSError as error:
        raise LogError(f'{path}: {error.strerror}, expected a csv of curves') from error
    except (ValueError, csv.Error) as error:
        raise LogError(f'{path}: empty or not text, expected a csv with the columns iteration, ...') from error
    if header[0] != 'iteration' or len(header) < 2:
        raise LogError(f'{path}, line 1: expected the columns iteration, <curve>, ...')
    return header, [_numbers(path, line, header, row) for line, row in enumerate(rows, 2)]


def _numbers(path: str | Path, line: int, header: Sequence[str], row: Sequence[str]) -> dict[str, float]:
    if len(row) != len(header):
        raise LogError(f'{path}, line {line}: {len(row)} cells, expected {len(header)}')
    try:
        return {name: float(cell) for name, cell in zip(header, row) if cell.strip()}
    except ValueError as error:
        raise LogError(f'{path}, line {line}: {error}, expected numbers or empty cells') from error


def _training(path: str | Path, quantity: str, name: str, rows: Sequence[dict[str, float]]) -> LoggedTraining:
    points = sorted((row['iteration'], row[name]) for row in rows if name in row and 'iteration' in row)
    if not points:
        raise LogError(f'{path}: column {name!r} holds no points')
    iteration, value = np.array(points, float).T
    curve = Curve(quantity, iteration, value, reading_error=READING_ERROR)
    return LoggedTraining(f'{Path(path).stem} {name}', name, {quantity: curve})
