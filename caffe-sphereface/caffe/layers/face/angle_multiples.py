"""ψ(θ) of A-Softmax and L-Softmax for margins of 2 to 4, and the slopes that both were trained with."""

import torch


def _double(c: torch.Tensor) -> torch.Tensor:
    return 2 * c.sign() * c.square() - 1


def _double_slopes(c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    s0 = c.sign()
    return 4 * s0 * c, -(2 * s0 * c.square() + 1)


def _triple_signs(c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    s1 = (c.abs() - 0.5).sign()
    return s1, c.sign() * (1 + s1) - 2


def _triple(c: torch.Tensor) -> torch.Tensor:
    s1, s2 = _triple_signs(c)
    return s1 * (4 * c**3 - 3 * c) + s2


def _triple_slopes(c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    s1, s2 = _triple_signs(c)
    return s1 * (12 * c.square() - 3), -(8 * s1 * c**3 - s2)


def _quadruple_signs(c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    s0 = c.sign()
    s3 = s0 * (2 * c.square() - 1).sign()
    return s3, 2 * s0 + s3 - 3


def _quadruple(c: torch.Tensor) -> torch.Tensor:
    s3, s4 = _quadruple_signs(c)
    square = c.square()
    return s3 * (8 * square * (square - 1) + 1) + s4


def _quadruple_slopes(c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    s3, s4 = _quadruple_signs(c)
    square = c.square()
    return s3 * (32 * c**3 - 16 * c), -(s3 * (8 * square * (3 * square - 1) - 1) - s4)


# ψ(θ) by margin, from c = cos θ
ANGLES = {2: _double, 3: _triple, 4: _quadruple}
# the originals' (a, b·|x|) by margin: how the labelled logit moves x along w and along x itself
SLOPES = {2: _double_slopes, 3: _triple_slopes, 4: _quadruple_slopes}
