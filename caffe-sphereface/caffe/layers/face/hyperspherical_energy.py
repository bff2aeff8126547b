"""Hyperspherical energy of the directions of weight rows (Liu et al., Learning towards Minimum Hyperspherical Energy,
NeurIPS 2018): f(z) = z^-s for s > 0 and log(1/z) for s = 0, of the distances z between unit rows.

Rows closer than 0.01 count as that far apart, so that equal rows do not end in infinity.
"""

from dataclasses import dataclass

import torch

LEAST = 1e-4  # square of the least distance
AT_ONCE = 1 << 24  # pairs in memory at a time


@dataclass(frozen=True)
class Energy:
    """The mean of f over the pairs of some rows with all others, for s = `power`.

    With `half_space` every row also stands for its opposite: a pair's share is the mean of f(|a - b|) and f(|a + b|).
    """

    power: int
    half_space: bool

    def value(self, weight: torch.Tensor, index: torch.Tensor | None = None) -> torch.Tensor:
        """The energy of rows `index` (all by default) of `weight` (N, K) against all other rows; a scalar tensor."""
        unit, _ = _directions(weight)
        index = _all(weight) if index is None else index
        total = sum(self._pairs(unit, part)[0].sum() for part in _parts(index, len(weight)))
        return total / (len(index) * (len(weight) - 1))

    def gradient(self, weight: torch.Tensor, index: torch.Tensor | None = None) -> torch.Tensor:
        """The derivative (N, K) of `value` with respect to `weight`."""
        unit, length = _directions(weight)
        everyone, index = index is None, _all(weight) if index is None else index
        moved = torch.zeros_like(unit)
        for part in _parts(index, len(weight)):
            slope = self._pairs(unit, part)[1]
            # Each pair moves both rows; among all rows it comes up twice, once from either side.
            moved.index_add_(0, part, slope @ unit, alpha=1 + everyone)
            if not everyone:
                moved.addmm_(slope.T, unit[part])
        moved /= len(index) * (len(weight) - 1)
        # Of a row's move only the part across the row changes its direction.
        return (moved - unit * (unit * moved).sum(1, keepdim=True)) / length

    def _pairs(self, unit: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """f and its derivative by the cosine, (M, N), for rows `index` with all rows; 0 for a row with itself."""
        cosine = unit[index] @ unit.T
        value, slope = self._of_cosine(cosine)
        if self.half_space:
            opposite, falling = self._of_cosine(-cosine)
            value, slope = (value + opposite) / 2, (slope - falling) / 2
        return value.scatter_(1, index[:, None], 0), slope.scatter_(1, index[:, None], 0)

    def _of_cosine(self, cosine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        square = (2 - 2 * cosine).clamp_(min=LEAST)
        if self.power == 0:
            return -0.5 * square.log(), 1 / square
        value = square ** (-self.power / 2)
        return value, self.power * value / square


def _directions(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    length = weight.norm(dim=1, keepdim=True).clamp_(min=1e-12)
    return weight / length, length


def _all(weight: torch.Tensor) -> torch.Tensor:
    return torch.arange(len(weight), device=weight.device)


def _parts(index: torch.Tensor, rows: int) -> tuple[torch.Tensor, ...]:
    return index.split(max(1, AT_ONCE // rows))
