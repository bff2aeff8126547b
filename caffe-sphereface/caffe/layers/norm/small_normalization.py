"""Gradients of BN on small blobs, step by step as the forks' code computes them, its sums as products with ones.

Where gradients cancel, as those of a bias before a batch's mean is taken away, only rounding is left, and that is the
order's and the BLAS's. NumPy's is OpenBLAS, the usual one of a genuine Caffe. The steps take about 70 us longer than
PyTorch's fused kernel, so that larger blobs go there.
"""

from collections.abc import Sequence

import numpy as np
import torch

MOST_VALUES = 1 << 10  # in a blob; up to 9215 OpenBLAS sums on one thread, in the same order whatever their number


def is_small(x: torch.Tensor) -> bool:
    """Whether the gradients of values (N, C, …) are to be computed here."""
    return x.device.type == 'cpu' and x.dtype == torch.float32 and x.numel() <= MOST_VALUES


def gradients(
    dy: torch.Tensor,
    x: torch.Tensor,
    scale: torch.Tensor,
    mean: torch.Tensor,
    factor: torch.Tensor,
    wanted: Sequence[bool],
) -> list[torch.Tensor | None]:
    """(dx, dscale, doffset) of scale · x̂ + offset, x̂ = (x − mean) · factor, as far as `wanted`, None otherwise.

    dx = (g − mean(g) − x̂ · mean(g · x̂)) · factor with g = scale · dy; `scale`, `mean` and `factor` have C values each.
    """
    upper, factors = _as_rows(dy), factor[:, None]
    unit = _as_rows(x).sub(mean[:, None]).mul_(factors)
    dx = dscale = doffset = None
    if wanted[1]:
        dscale = _sums(unit * upper)
    if wanted[2]:
        doffset = _sums(upper)
    if wanted[0]:
        inner = upper * scale[:, None]
        of_inner, of_product = _sums(inner), _sums(inner * unit)
        dx = unit.mul_(of_product[:, None]).add_(of_inner[:, None]).mul_(-1 / (x.numel() // x.shape[1]))
        dx = dx.add_(inner).mul_(factors).reshape(x.shape)
    return [dx, dscale, doffset]


def _as_rows(values: torch.Tensor) -> torch.Tensor:
    """(N, C, …) as (N, C, positions), contiguous: in another order of memory the sums' order would be another."""
    return values.contiguous().reshape(*values.shape[:2], -1)


def _sums(values: torch.Tensor) -> torch.Tensor:
    """The sum of each channel of (N, C, positions): over the positions first, then over the pictures."""
    count, channels, positions = values.shape
    rows = np.dot(values.numpy().reshape(-1, positions), np.ones(positions, np.float32))
    return torch.from_numpy(np.dot(np.ones(count, np.float32), rows.reshape(count, channels)))
