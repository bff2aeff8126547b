"""Ridge regression towards given weights, from rows that stream by: argmin over W of Σ |y − xW|² + λ |W − W0|²."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np
from scipy.linalg import solve

LARGEST_SYSTEM = 5000  # inputs up to which XᵀX is gathered; 200 MB
_PLENTY = 200  # rows for each input, from which on no ridge is worth a search
RIDGES = tuple(10.0**power for power in range(-6, 2))  # that are tried where none is given


class NormalEquations:
    """Gathers XᵀX (`products`) and XᵀY: exact over all rows; for few inputs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.products: np.ndarray = np.zeros((inputs, inputs))
        self._xy: np.ndarray = np.zeros((inputs, outputs))

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take in rows of inputs and of wanted outputs."""
        x = np.asarray(x, np.float64)
        self.products += x.T @ x
        self._xy += x.T @ y

    def solution(self, start: np.ndarray, ridge: float) -> np.ndarray:
        """W for W0 = `start` (inputs × outputs) and λ = `ridge` · mean of XᵀX's diagonal."""
        penalty = ridge * np.trace(self.products) / len(self.products) or 1.0
        system = self.products + penalty * np.eye(len(self.products))
        return start + solve(system, self._xy - self.products @ start, assume_a='pos')

    def solutions(self, start: np.ndarray, ridges: Sequence[float]) -> Iterator[np.ndarray]:
        """What `solution` gives for each of several ridges, from one decomposition."""
        values, vectors = np.linalg.eigh(self.products)
        turned = vectors.T @ (self._xy - self.products @ start)
        for ridge in ridges:
            yield start + vectors @ (turned / (np.maximum(values, 0) + (ridge * values.mean() or 1.0))[:, None])

    def error(self, weights: np.ndarray) -> float:
        """Σ |y − xW|² less Σ |y|², which no W changes."""
        return float((weights * (self.products @ weights - 2 * self._xy)).sum())

    def joined(self, other: NormalEquations) -> NormalEquations:
        """Those of the rows of both."""
        result = NormalEquations(*self._xy.shape)
        result.products, result._xy = self.products + other.products, self._xy + other._xy
        return result


class Reservoir:
    """Keeps at most `capacity` rows of a stream, each with equal chance (Vitter's algorithm R)."""

    def __init__(self, capacity: int, rng: np.random.Generator) -> None:
        self.capacity, self.rng = capacity, rng
        self._rows: np.ndarray | None = None
        self._seen = 0

    def add(self, rows: np.ndarray) -> None:
        """Take in an array (rows, …)."""
        if self._rows is None:
            self._rows = np.empty((self.capacity, *rows.shape[1:]), rows.dtype)
        free = max(self.capacity - self._seen, 0)
        self._rows[self._seen : self._seen + len(rows)][:free] = rows[:free]
        late = rows[free:]
        places = self.rng.integers(0, self._seen + free + 1 + np.arange(len(late))) if len(late) else ()
        for place, row in zip(places, late):
            if place < self.capacity:
                self._rows[place] = row
        self._seen += len(rows)

    def rows(self) -> np.ndarray:
        """The sample, in no particular order once the stream was longer than the capacity."""
        return self._rows[: self._seen] if self._rows is not None else np.empty((0,))


class SampledRows:
    """Keeps a bounded uniform sample of the rows: for more inputs than rows, where XᵀX would be too large."""

    def __init__(self, capacity: int, rng: np.random.Generator) -> None:
        self._rows = Reservoir(capacity, rng)
        self._inputs = 0

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take in rows of inputs and of wanted outputs."""
        self._inputs = x.shape[1]
        self._rows.add(np.concatenate([x, y], axis=1, dtype=np.float32))

    def solution(self, start: np.ndarray, ridge: float) -> np.ndarray:
        """W for W0 = `start` (inputs × outputs) and λ = `ridge` · mean of XᵀX's diagonal."""
        x, y = np.split(self._rows.rows().astype(np.float64), [self._inputs], axis=1)
        products = x @ x.T
        penalty = ridge * np.trace(products) / x.shape[1]
        return start + x.T @ solve(products + penalty * np.eye(len(x)), y - x @ start, assume_a='pos')

    def solutions(self, start: np.ndarray, ridges: Sequence[float]) -> Iterator[np.ndarray]:
        """What `solution` gives for each of several ridges."""
        return (self.solution(start, ridge) for ridge in ridges)

    def error(self, weights: np.ndarray) -> float:
        """Σ |y − xW|² over the sample."""
        x, y = np.split(self._rows.rows().astype(np.float64), [self._inputs], axis=1)
        return float(((y - x @ weights) ** 2).sum())

    def joined(self, other: SampledRows) -> SampledRows:
        """Those of both samples."""
        result = SampledRows(self._rows.capacity + other._rows.capacity, self._rows.rng)
        result._inputs = self._inputs
        for sample in (self, other):
            result._rows.add(sample._rows.rows())
        return result


Equations = TypeVar('Equations', NormalEquations, SampledRows)


class Halves(Generic[Equations]):
    """Rows in two halves, of which one tells how much the fit to the other is worth: λ need not be known.

    `make` gives empty equations. The first and the second half of the rows of each `add` stay apart: with rows in the
    order of their pictures, no picture but one in the middle is in both.
    """

    def __init__(self, make: Callable[[], Equations]) -> None:
        self._first: Equations = make()
        self._second: Equations = make()
        self._rows = 0

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take in rows of inputs and of wanted outputs."""
        self._rows += len(x)
        middle = (len(x) + 1) // 2
        self._first.add(x[:middle], y[:middle])
        if len(x) > middle:
            self._second.add(x[middle:], y[middle:])

    def solution(self, start: np.ndarray, ridge: float | None = None) -> np.ndarray:
        """W for W0 = `start` from all rows, with the λ under which either half's W errs least on the other half."""
        ridge = self.best_ridge(start) if ridge is None else ridge
        return self.joined().solution(start, ridge)

    def joined(self) -> Equations:
        """The equations of all rows."""
        return self._first.joined(self._second)

    def best_ridge(self, start: np.ndarray) -> float:
        """The best of RIDGES for a half, halved as the rows of both are twice as many; the least for very many rows."""
        if self._rows > _PLENTY * len(start):
            return RIDGES[0]
        pairs = (self._first, self._second), (self._second, self._first)
        errors = [[judge.error(weights) for weights in learner.solutions(start, RIDGES)] for learner, judge in pairs]
        return RIDGES[int(np.sum(errors, axis=0).argmin())] / 2
