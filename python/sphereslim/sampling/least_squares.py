"""Ridge regression towards given weights, from rows that stream by: argmin over W of Σ |y − xW|² + λ |W − W0|²."""

import numpy as np
from scipy.linalg import solve

LARGEST_SYSTEM = 5000  # inputs up to which XᵀX is gathered; 200 MB


class NormalEquations:
    """Gathers XᵀX (`products`) and XᵀY: exact over all rows; for few inputs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.products, self._xy = np.zeros((inputs, inputs)), np.zeros((inputs, outputs))

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take in rows of inputs and of wanted outputs."""
        x = np.asarray(x, np.float64)
        self.products += x.T @ x
        self._xy += x.T @ y

    def solution(self, start: np.ndarray, ridge: float) -> np.ndarray:
        """W for W0 = `start` (inputs × outputs) and λ = `ridge` · mean of XᵀX's diagonal."""
        penalty = ridge * np.trace(self.products) / len(self.products)
        system = self.products + penalty * np.eye(len(self.products))
        return start + solve(system, self._xy - self.products @ start, assume_a='pos')


class Reservoir:
    """Keeps at most `capacity` rows of a stream, each with equal chance (Vitter's algorithm R)."""

    def __init__(self, capacity: int, rng: np.random.Generator) -> None:
        self._capacity, self._rng = capacity, rng
        self._rows: np.ndarray | None = None
        self._seen = 0

    def add(self, rows: np.ndarray) -> None:
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
