"""Convolution of small batches as im2col and one matrix product per picture, the way genuine Caffe computes it.

The sums run in the same order whatever the number of threads, so small trainings repeat on any machine and stay close
to the original for long: where an activation comes within rounding of zero, another order of summation can flip its
sign, and a training diverges from there. Where that would cost too much, convolutions go to faster kernels.

Where gradients cancel, only the rounding of the kernels is left. Tiny products, whose calls take longer than their
computing, therefore go to NumPy, whose BLAS is OpenBLAS, the usual one of a genuine Caffe.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

MOST_PRODUCTS = 1 << 25  # multiply-accumulates per forward: a few milliseconds of work at most
TINY_PRODUCT = 1 << 14  # multiply-accumulates per picture: about a microsecond, and one thread of OpenBLAS


def is_small(x: torch.Tensor, weight: torch.Tensor, positions: int) -> bool:
    """Whether a training step on `x` (N, C, H, W) on the CPU with `positions` outputs per channel is to go this way."""
    return x.device.type == 'cpu' and x.dim() == 4 and weight.numel() * positions * len(x) < MOST_PRODUCTS


def columns_of(
    x: torch.Tensor, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], dilation: Sequence[int]
) -> torch.Tensor:
    """The windows of `x` as columns (N, C·kernel, positions); `x` itself where windows are single positions."""
    if _are_places(kernel, stride, pad):
        return x.flatten(2).contiguous()
    return functional.unfold(x, kernel, dilation, pad, stride)


def _are_places(kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int]) -> bool:
    return {*kernel, *stride} == {1} and not any(pad)


def forward(columns: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The outputs (N, outputs, positions) of filters (outputs, …), plus a bias (outputs) if there is one."""
    product = _by_numpy if _is_tiny(weight, columns.shape[2]) else torch.matmul
    y = product(weight.reshape(len(weight), -1), columns)
    return y if bias is None else y.add_(bias[:, None])


def backward(
    dy: torch.Tensor,
    columns: torch.Tensor,
    weight: torch.Tensor,
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    dilation: Sequence[int],
    wanted: Sequence[bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """(dx, dweight, dbias) as far as `wanted`, None otherwise; `size` is the (H, W) of the input."""
    dy = dy.reshape(len(dy), len(weight), -1)
    tiny = _is_tiny(weight, dy.shape[2])
    product = _by_numpy if tiny else torch.matmul
    if tiny:
        dy = dy.contiguous()  # in another order of memory its kernels sum in another order
    dx = dweight = dbias = None
    if wanted[0]:
        spread = product(weight.reshape(len(weight), -1).t(), dy)
        dx = (
            spread.reshape(*spread.shape[:2], *size)
            if _are_places(kernel, stride, pad)
            else functional.fold(spread, size, kernel, dilation, pad, stride)
        )
    if wanted[1]:
        dweight = product(dy, columns.transpose(1, 2)).sum(0)
    if wanted[2]:
        dbias = (product(dy, dy.new_ones(dy.shape[2])) if tiny else dy.sum(2)).sum(0)
    return dx, dweight, dbias


def _is_tiny(weight: torch.Tensor, positions: int) -> bool:
    """Whether the products of a picture with `positions` outputs per channel go to NumPy."""
    return weight.numel() * positions <= TINY_PRODUCT


@np.errstate(all='ignore')
def _by_numpy(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The product without warnings of overflow, as PyTorch's."""
    return torch.from_numpy(np.matmul(a.numpy(), b.numpy()))
