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


def round_matrix(weights: np.ndarray, products: np.ndarray, bits: int, has_added: bool, half: bool = False) -> Rounded:
    """`weights` (inputs × outputs) rounded to 2^bits - 1 levels times a scale per output.

    `products` is H (inputs × inputs). With `has_added` the last input is always 1 and its weights are what is added.
    With `half` scales are numbers that half precision holds.
    """
    inputs = len(weights) - has_added
    importance = np.diag(products)[:inputs]
    largest = largest_level(bits)
    scale = least_error_scales(weights[:inputs].T, largest, half, importance / (importance.mean() or 1.0)).ravel()
    order = np.append(np.argsort(-importance, kind='stable'), np.arange(inputs, len(weights)))
    left = weights[order]
    factor = _factor(products[np.ix_(order, order)])
    levels = np.empty((inputs, weights.shape[1]))
    divisor = np.where(scale > 0, scale, 1)
    for place, row in enumerate(order[:inputs]):
        levels[row] = np.clip(np.round(left[place] / divisor), -largest, largest)
        error = (left[place] - levels[row] * scale) / factor[place, place]
        left[place + 1 :] -= factor[place, place + 1 :, None] * error
    return Rounded(levels, scale, left[-1] if has_added else None)


def _factor(products: np.ndarray) -> np.ndarray:
    """The upper triangular U with H⁻¹ = UᵀU, of H with a little more on its diagonal."""
    damped = products + (DAMPING * np.trace(products) / len(products) or 1.0) * np.eye(len(products))
    return np.linalg.cholesky(np.linalg.inv(damped)).T
