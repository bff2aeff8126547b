"""Pooling of one tensor (N, C, H, W) with Caffe's window rules, forward and backward."""

import torch
import torch.nn.functional as F

from caffe import random
from caffe.blobs.memory_format import is_channels_last
from caffe.layers.support.cache_blocks import blocks

_aten = torch.ops.aten
Sizes = tuple[int, ...]  # (height, width)


class Geometry:
    """Kernel, stride and pad (height, width) and the number of windows that they give for inputs of `size`.

    Sizes round up, or down with `floor`. A last window that would begin beyond the picture is dropped where there is a
    pad, high or wide. Without one Caffe keeps it, empty: `filled` is the number of windows with a value in them.
    """

    def __init__(self, kernel: Sizes, stride: Sizes, pad: Sizes, size: Sizes, floor: bool = False) -> None:
        self.kernel, self.stride, self.pad, self.size, self.ceil = kernel, stride, pad, size, not floor
        self.filled = tuple(map(self._windows, kernel, stride, pad, size))
        self.output = self.filled if any(pad) else tuple(map(self._steps, kernel, stride, pad, size))
        # PyTorch's kernels know pads up to half a window
        self.wide_pad = any(2 * p > k for k, p in zip(kernel, pad))

    def _steps(self, kernel: int, stride: int, pad: int, size: int) -> int:
        way = size + 2 * pad - kernel
        return (-(-way // stride) if self.ceil else way // stride) + 1

    def _windows(self, kernel: int, stride: int, pad: int, size: int) -> int:
        count = self._steps(kernel, stride, pad, size)
        return count - 1 if (count - 1) * stride >= size + pad else count

    def widened(self, y: torch.Tensor, value: float | torch.Tensor) -> torch.Tensor:
        """`y` with `value` for the empty windows: a number, or a tensor (output height, output width)."""
        if self.filled == self.output:
            return y
        wide = y.new_empty(*y.shape[:2], *self.output)
        wide.copy_(value) if isinstance(value, torch.Tensor) else wide.fill_(value)
        self.narrowed(wide).copy_(y)
        return wide

    def narrowed(self, y: torch.Tensor) -> torch.Tensor:
        """`y` without its empty windows."""
        return y[:, :, : self.filled[0], : self.filled[1]]

    def margins(self) -> list[int]:
        """(left, right, top, bottom) pads with which windows at those places fill the padded picture exactly."""
        after = [
            (n - 1) * s + k - p - size
            for n, s, k, p, size in zip(self.filled, self.stride, self.kernel, self.pad, self.size)
        ]
        return [self.pad[1], after[1], self.pad[0], after[0]]

    def areas(self, device: torch.device | str) -> torch.Tensor:
        """How many places each window covers, pads included: (output height, output width).

        As in Caffe 0 or less for an empty one.
        """
        lines = []
        for n, s, k, p, size in zip(self.output, self.stride, self.kernel, self.pad, self.size):
            start = torch.arange(n, device=device) * s - p
            lines.append((start + k).clamp(max=size + p) - start)
        return torch.outer(*lines).float()


class Layout:
    """Shape, memory format and device of a tensor of pictures, or of one like it with planes of another `size`."""

    def __init__(self, x: torch.Tensor, size: Sizes | None = None) -> None:
        self.shape = (*x.shape[:2], *(size or x.shape[2:]))
        self._order = torch.channels_last if is_channels_last(x) else torch.contiguous_format
        self._device = x.device

    def empty(self, dtype: torch.dtype) -> torch.Tensor:
        """A tensor of this kind, not initialised."""
        return torch.empty(self.shape, dtype=dtype, device=self._device, memory_format=self._order)


class MaxPool:
    """The largest value of each window; the first one where several are equal, the least float where there is none."""

    EMPTY = -torch.finfo(torch.float32).max

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def _arguments(self) -> tuple[Sizes, Sizes, Sizes, Sizes, bool]:
        g = self.geometry
        pad, ceil = ((0, 0), False) if g.wide_pad else (g.pad, g.ceil)
        return g.kernel, g.stride, pad, (1, 1), ceil

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, self.geometry.margins(), value=-torch.inf) if self.geometry.wide_pad else x

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The values, (N, C, height, width), keeping nothing."""
        return self.geometry.widened(_aten.max_pool2d_with_indices(self._padded(x), *self._arguments())[0], self.EMPTY)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The values, (N, C, height, width)."""
        x = self._padded(x)
        self._bottom = Layout(x)
        # the flat index (row · width + column) of each value in its plane, in two bytes where they suffice
        kind = torch.int16 if x.shape[2] * x.shape[3] <= 1 << 15 else torch.int32
        y, self._index = (Layout(x, self.geometry.filled).empty(of) for of in (x.dtype, kind))
        for part, values, index in blocks(x, y, self._index):
            places = torch.empty_like(index, dtype=torch.int64)
            _aten.max_pool2d_with_indices.out(part, *self._arguments(), out=values, indices=places)
            index.copy_(places)
        return self.geometry.widened(y, self.EMPTY)

    def index(self) -> torch.Tensor:
        """Where in the (unpadded) input plane each value of the last forward came from; -1 for an empty window."""
        g, index = self.geometry, self._index.long()
        if not g.wide_pad:
            return g.widened(index, -1)
        width = self._bottom.shape[3]
        return (index // width - g.pad[0]) * g.size[1] + index % width - g.pad[1]

    def forget(self) -> None:
        """Drop what the last forward kept for backward."""
        self._index = None

    def backward(self, dy: torch.Tensor) -> torch.Tensor:
        """The diff of the input of the last forward."""
        dx = self._bottom.empty(dy.dtype)
        for diff, part, index in blocks(dx, self.geometry.narrowed(dy), self._index):
            # of its input the kernel takes only the shape and memory format
            _aten.max_pool2d_with_indices_backward.grad_input(
                part, diff, *self._arguments(), index.long(), grad_input=diff
            )
        return F.pad(dx, [-m for m in self.geometry.margins()]) if self.geometry.wide_pad else dx


class AveragePool:
    """The mean of each window, in which the pads count as zeros (but not what lies beyond them).

    An empty window has Caffe's 0 / area: NaN, or 0 where the area is negative.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Means, (N, C, height, width)."""
        g = self.geometry
        x = F.pad(x, g.margins()) if g.wide_pad else x
        self._bottom = Layout(x)
        if g.wide_pad:
            return _aten.avg_pool2d(x, g.kernel, g.stride, [0, 0], False, True, 1) / g.areas(x.device)
        if g.output == (1, 1) and g.kernel == g.size and g.pad == (0, 0):
            return x.mean((2, 3), keepdim=True)
        y = _aten.avg_pool2d(x, g.kernel, g.stride, g.pad, g.ceil, True)
        return y if g.filled == g.output else g.widened(y, 0 / g.areas(x.device))

    infer = forward

    def forget(self) -> None:
        """Drop what the last forward kept for backward: nothing of any size."""

    def backward(self, dy: torch.Tensor) -> torch.Tensor:
        """The diff of the input of the last forward."""
        g, dx, dy = self.geometry, self._bottom.empty(dy.dtype), self.geometry.narrowed(dy)
        # of its input, for which `dx` stands in, the kernel takes only the shape and memory format
        if not g.wide_pad:
            return _aten.avg_pool2d_backward.grad_input(
                dy, dx, g.kernel, g.stride, g.pad, g.ceil, True, None, grad_input=dx
            )
        dy = dy / g.areas(dy.device)
        _aten.avg_pool2d_backward.grad_input(dy, dx, g.kernel, g.stride, [0, 0], False, True, 1, grad_input=dx)
        return F.pad(dx, [-m for m in g.margins()])


class StochasticPool:
    """Zeiler & Fergus 2013, for inputs of at least 0: a value drawn in proportion to itself, or their expectation."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def _windows(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, height, width, kernel area), zeros beyond the picture."""
        g = self.geometry
        padded = F.pad(x, g.margins())
        return padded.unfold(2, g.kernel[0], g.stride[0]).unfold(3, g.kernel[1], g.stride[1]).flatten(4)

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The expectations Σx² / Σx, 0 where all values are 0, for the TEST phase."""
        values = self._windows(x)
        mean = values.square().sum(-1) / values.sum(-1).clamp(min=torch.finfo(torch.float32).tiny)
        return self.geometry.widened(mean, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One value of each window, drawn with a probability proportional to it."""
        values = self._windows(x)
        cumulated = values.cumsum(-1)
        draw = torch.rand(cumulated.shape[:-1], generator=random.generator(x.device), device=x.device).unsqueeze(-1)
        self._choice = (cumulated < draw * cumulated[..., -1:]).sum(-1, keepdim=True).clamp(max=values.shape[-1] - 1)
        self._padded = F.pad(x, self.geometry.margins()).shape
        return self.geometry.widened(values.gather(-1, self._choice).squeeze(-1), 0)

    def forget(self) -> None:
        """Drop what the last forward kept for backward."""
        self._choice = None

    def backward(self, dy: torch.Tensor) -> torch.Tensor:
        """The diff of the input of the last forward: each value's goes where it was drawn."""
        g = self.geometry
        device, choice, dy = dy.device, self._choice.squeeze(-1), g.narrowed(dy)
        rows = torch.arange(g.filled[0], device=device)[:, None] * g.stride[0] + choice // g.kernel[1]
        columns = torch.arange(g.filled[1], device=device) * g.stride[1] + choice % g.kernel[1]
        place = (rows * self._padded[3] + columns).flatten(2)
        dx = dy.new_zeros(self._padded).flatten(2).scatter_add_(2, place, dy.flatten(2))
        return F.pad(dx.reshape(self._padded), [-m for m in g.margins()])
