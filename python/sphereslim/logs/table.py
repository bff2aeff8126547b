"""Rows of a training log kept as columns, so that millions of rows fit in memory."""

from array import array
from dataclasses import dataclass, field

import numpy as np


@dataclass
class LogRow:
    """One displayed iteration. A value the log does not give is None; `outputs` maps blob names to numbers."""

    iteration: int
    seconds: float | None = None
    loss: float | None = None
    lr: float | None = None
    net: int | None = None
    outputs: dict = field(default_factory=dict)


MOST_REPEATS = 64


class LogTable:
    """Rows in the order of the log: iterate for LogRows, or take a whole column with `series`."""

    FIELDS = ('seconds', 'loss', 'lr', 'net')

    def __init__(self):
        self._iteration = array('q')
        self._columns = {}

    def __len__(self):
        return len(self._iteration)

    def __iter__(self):
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        values = {key: column.get(index) for key, column in self._columns.items()}
        fields = {name: values.pop((name,), None) for name in self.FIELDS}
        fields['net'] = None if fields['net'] is None else int(fields['net'])
        outputs = {key: value for key, value in values.items() if value is not None}
        return LogRow(self._iteration[index], **fields, outputs=outputs)

    def append(self, iteration):
        """Begin a row."""
        self._iteration.append(iteration)

    @property
    def iteration(self):
        """Iterations of all rows, int64 array."""
        return np.array(self._iteration, dtype=np.int64)

    @property
    def last_iteration(self):
        """The iteration of the last row, None for an empty table."""
        return self._iteration[-1] if self._iteration else None

    @property
    def output_names(self):
        """The names of the net's outputs, in the order in which the log first shows them."""
        return [key for key in self._columns if isinstance(key, str)]

    def set_field(self, name, value):
        """Set `seconds`, `loss`, `lr` or `net` of the last row."""
        self._column((name,)).put(len(self) - 1, value)

    def set_output(self, name, value):
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

    def series(self, name, output=True):
        """(row indices, values) of a column where it has values; `output=False` for a field of FIELDS."""
        column = self._columns.get(name if output else (name,))
        return column.series() if column else (np.empty(0, np.int64), np.empty(0))

    def _column(self, key):
        return self._columns.setdefault(key, _Column())


class _Column:
    """Values by row index with a mark for each that is there (NaN is a value: a log may print it)."""

    def __init__(self):
        self._values = array('d')
        self._present = bytearray()

    def get(self, index):
        return self._values[index] if index < len(self._values) and self._present[index] else None

    def put(self, index, value):
        missing = index + 1 - len(self._values)
        if missing > 0:
            self._values.frombytes(bytes(8 * missing))
            self._present.extend(bytes(missing))
        self._values[index] = value
        self._present[index] = 1

    def series(self):
        rows = np.flatnonzero(np.frombuffer(bytes(self._present), np.uint8))
        return rows, np.array(self._values)[rows]
