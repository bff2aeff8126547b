"""A bounded uniform sample of rows from a stream of any length."""

import numpy as np


class Reservoir:
    """Keeps at most `capacity` rows of a stream, each with equal chance (Vitter's algorithm R)."""

    def __init__(self, capacity, rng):
        self._capacity, self._rng = capacity, rng
        self._rows, self._seen = None, 0

    def add(self, rows):
        """Take in an array (rows, …)."""
        if self._rows is None:
            self._rows = np.empty((self._capacity, *rows.shape[1:]), rows.dtype)
        free = max(self._capacity - self._seen, 0)
        self._rows[self._seen : self._seen + len(rows)][:free] = rows[:free]
        late = rows[free:]
        places = self._rng.integers(0, self._seen + free + 1 + np.arange(len(late))) if len(late) else ()
        for place, row in zip(places, late):
            if place < self._capacity:
                self._rows[place] = row
        self._seen += len(rows)

    def rows(self):
        """The sample, in no particular order once the stream was longer than the capacity."""
        return self._rows[: self._seen] if self._rows is not None else np.empty((0,))
