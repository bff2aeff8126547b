"""Second-order rounding: what rounding a weight does to a layer's outputs, the weights not rounded yet make up for.

A layer with the weights W (inputs × outputs) reads rows x; H = Σ xxᵀ says what an error of W costs, tr(EᵀHE). One
input after the other is rounded, and the others take over its error as far as they can (Frantar and Alistarh, Optimal
Brain Compression, NeurIPS 2022; in the order of GPTQ, Frantar et al., ICLR 2023). Inputs are taken by falling mean
square. What is added to the outputs, a bias, is not rounded and takes over last, which makes up for a shift of their
means.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sphereslim.quantization.schemes import largest_level, least_error_scales

DAMPING = 0.01  # relative to the mean of H's diagonal, as in GPTQ
BLOCK = 64  # inputs whose errors go to all inputs behind them at once


class Rounded(NamedTuple):
    """A layer's matrices after rounding: `levels` (inputs × outputs) of whole numbers from -n to n, a `scale` for each
    output, and `added` to each output, None where nothing is."""

    levels: np.ndarray
    scale: np.ndarray
    added: np.ndarray | None

    def matrix(self) -> np.ndarray:
        """The weights (inputs × outputs) that these are, with what is added as a last row."""
        rows = self.levels * self.scale
        return rows if self.added is None else np.concatenate([rows, self.added[None]])


class SecondOrder:
    """Rounds matrices of weights (inputs × outputs) whose inputs have the products H (inputs × inputs).

    With `has_added` the last input is always 1 and its weights are what is added.
    """

    def __init__(self, products: np.ndarray, has_added: bool) -> None:
        self._inputs = len(products) - has_added
        self._importance = np.diag(products)[: self._inputs]
        rest = np.arange(self._inputs, len(products))
        self._order = np.append(np.argsort(-self._importance, kind='stable'), rest)
        self._factor = _factor(products[np.ix_(self._order, self._order)])

    def round(self, weights: np.ndarray, bits: int, half: bool = False) -> Rounded:
        """`weights` rounded to 2^bits - 1 levels times a scale per output, which with `half` half precision holds."""
        inputs, largest = self._inputs, largest_level(bits)
        importance = self._importance / (self._importance.mean() or 1.0)
        scale = least_error_scales(weights[:inputs].T, largest, half, importance).ravel()
        left, levels = weights[self._order], np.empty((inputs, weights.shape[1]))
        for start in range(0, inputs, BLOCK):
            block = slice(start, min(start + BLOCK, inputs))
            levels[self._order[block]], errors = self._round_block(left[block], block, scale, largest)
            left[block.stop :] -= self._factor[block, block.stop :].T @ errors
        return Rounded(levels, scale, left[-1] if inputs < len(weights) else None)

    def _round_block(
        self, left: np.ndarray, block: slice, scale: np.ndarray, largest: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """(levels, errors that the inputs behind the block take over) of neighbouring rows, which are worked on."""
        factor, divisor = self._factor[block, block], np.where(scale > 0, scale, 1)
        levels, errors = np.empty_like(left), np.empty_like(left)
        for place in range(len(left)):
            levels[place] = np.clip(np.round(left[place] / divisor), -largest, largest)
            errors[place] = (left[place] - levels[place] * scale) / factor[place, place]
            left[place + 1 :] -= factor[place, place + 1 :, None] * errors[place]
        return levels, errors


def _factor(products: np.ndarray) -> np.ndarray:
    """The upper triangular U with H⁻¹ = UᵀU, of H with a little more on its diagonal."""
    damped = products + (DAMPING * np.trace(products) / len(products) or 1.0) * np.eye(len(products))
    return np.linalg.cholesky(np.linalg.inv(damped)).T
