"""Ridge regression towards given weights, from rows that stream by: argmin over W of Σ |y − xW|² + λ |W − W0|²."""

import numpy as np
from scipy.linalg import solve

from sphereslim.sampling.reservoir import Reservoir

LARGEST_SYSTEM = 5000  # inputs up to which XᵀX is gathered; 200 MB


class NormalEquations:
    """Gathers XᵀX (`products`) and XᵀY: exact over all rows; for few inputs."""

    def __init__(self, inputs, outputs):
        self.products, self._xy = np.zeros((inputs, inputs)), np.zeros((inputs, outputs))

    def add(self, x, y):
        """Take in rows of inputs and of wanted outputs."""
        x = np.asarray(x, np.float64)
        self.products += x.T @ x
        self._xy += x.T @ y

    def solution(self, start, ridge):
        """W for W0 = `start` (inputs × outputs) and λ = `ridge` · mean of XᵀX's diagonal."""
        penalty = ridge * np.trace(self.products) / len(self.products)
        system = self.products + penalty * np.eye(len(self.products))
        return start + solve(system, self._xy - self.products @ start, assume_a='pos')


class SampledRows:
    """Keeps a bounded uniform sample of the rows: for more inputs than rows, where XᵀX would be too large."""

    def __init__(self, capacity, rng):
        self._rows = Reservoir(capacity, rng)
        self._inputs = None

    def add(self, x, y):
        """Take in rows of inputs and of wanted outputs."""
        self._inputs = x.shape[1]
        self._rows.add(np.concatenate([x, y], axis=1, dtype=np.float32))

    def solution(self, start, ridge):
        """W for W0 = `start` (inputs × outputs) and λ = `ridge` · mean of XᵀX's diagonal."""
        x, y = np.split(self._rows.rows().astype(np.float64), [self._inputs], axis=1)
        products = x @ x.T
        penalty = ridge * np.trace(products) / x.shape[1]
        return start + x.T @ solve(products + penalty * np.eye(len(x)), y - x @ start, assume_a='pos')
