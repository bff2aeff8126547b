"""Rows of a training log kept as columns, so that millions of rows fit in memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class LogRow:
    """One displayed iteration. A value the log does not give is None; `outputs` maps blob names to numbers."""

    iteration: int
    seconds: float | None = None
    loss: float | None = None
    lr: float | None = None
    net: int | None = None
    outputs: dict[str, float] = field(default_factory=dict)


MOST_REPEATS = 64


class LogTable:
    """Rows in the order of the log: iterate for LogRows, or take a whole column with `series`."""

    FIELDS = ('seconds', 'loss', 'lr', 'net')

    def __init__(self) -> None:
        self._iteration = array('q')
        self._columns: dict[str | tuple[str], _Column] = {}

    def __len__(self) -> int:
        return len(self._iteration)

    def __iter__(self) -> Iterator[LogRow]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> LogRow:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        values: dict[Any, float | None] = {key: column.get(index) for key, column in self._columns.items()}
        fields = {name: values.pop((name,), None) for name in self.FIELDS}
        net = fields.pop('net')
        outputs = {key: value for key, value in values.items() if value is not None}
        return LogRow(self._iteration[index], **fields, net=None if net is None else int(net), outputs=outputs)

    def append(self, iteration: int) -> None:
        """Begin a row."""
        self._iteration.append(iteration)

    @property
    def iteration(self) -> np.ndarray:
        """Iterations of all rows, int64 array."""
        return np.array(self._iteration, dtype=np.int64)

    @property
    def last_iteration(self) -> int | None:
        """The iteration of the last row, None for an empty table."""
        return self._iteration[-1] if self._iteration else None

    @property
    def output_names(self) -> list[str]:
        """The names of the net's outputs, in the order in which the log first shows them."""
        return [key for key in self._columns if isinstance(key, str)]

    def set_field(self, name: str, value: float) -> None:
        """Set `seconds`, `loss`, `lr` or `net` of the last row."""
        self._column((name,)).put(len(self) - 1, value)

    def set_output(self, name: str, value: float) -> None:
        """Set an output of the last row. A blob of many values repeats its name: those become `name[1]`, `name[2]`...

        Beyond MOST_REPEATS values of one name the rest is left out.
        """
        index, key, repeat = len(self) - 1, name, 0
        while self._column(key).get(index) is not None:
            repeat += 1
            if repeat > MOST_REPEATS:
                return
            key = f'{name}[{repeat}]'
        self._column(key).put(index, value)

    def series(self, name: str, output: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """(row indices, values) of a column where it has values; `output=False` for a field of FIELDS."""
        column = self._columns.get(name if output else (name,))
        return column.series() if column else (np.empty(0, np.int64), np.empty(0))

    def _column(self, key: str | tuple[str]) -> _Column:
        return self._columns.setdefault(key, _Column())


class _Column:
    """Values by row index with a mark for each that is there (NaN is a value: a log may print it)."""

    def __init__(self) -> None:
        self._values = array('d')
        self._present = bytearray()

    def get(self, index: int) -> float | None:
        return self._values[index] if index < len(self._values) and self._present[index] else None

    def put(self, index: int, value: float) -> None:
        missing = index + 1 - len(self._values)
        if missing > 0:
            self._values.frombytes(bytes(8 * missing))
            self._present.extend(bytes(missing))
        self._values[index] = value
        self._present[index] = 1

    def series(self) -> tuple[np.ndarray, np.ndarray]:
        rows = np.flatnonzero(np.frombuffer(bytes(self._present), np.uint8))
        return rows, np.array(self._values)[rows]
