"""Pooling of one tensor (N, C, H, W) with Caffe's window rules, forward and backward."""

import torch
import torch.nn.functional as F

from caffe import random

_aten = torch.ops.aten


class Geometry:
    """Kernel, stride and pad (height, width) and the number of windows that they give for inputs of `size`.

    Sizes round up, or down with `floor`. A window that would begin beyond the picture and its leading pad is dropped.
    """

    def __init__(self, kernel, stride, pad, size, floor=False):
        self.kernel, self.stride, self.pad, self.size, self.ceil = kernel, stride, pad, size, not floor
        self.output = tuple(map(self._windows, kernel, stride, pad, size))
        # PyTorch's kernels know pads up to half a window
        self.wide_pad = any(2 * p > k for k, p in zip(kernel, pad))

    def _windows(self, kernel, stride, pad, size):
        steps = size + 2 * pad - kernel
        count = (-(-steps // stride) if self.ceil else steps // stride) + 1
        return count - 1 if (count - 1) * stride >= size + pad else count

    def margins(self):
        """(left, right, top, bottom) pads with which windows at the stated places fill the padded picture exactly."""
        after = [(n - 1) * s + k - p - size for n, s, k, p, size in
                 zip(self.output, self.stride, self.kernel, self.pad, self.size)]
        return [self.pad[1], after[1], self.pad[0], after[0]]

    def areas(self, device):
        """How many places each window covers, pads included: (output height, output width)."""
        lines = []
        for n, s, k, p, size in zip(self.output, self.stride, self.kernel, self.pad, self.size):
            start = torch.arange(n, device=device) * s - p
            lines.append((start + k).clamp(max=size + p) - start)
        return torch.outer(*lines).float()


class MaxPool:
    """The largest value of each window; the first one where several are equal."""

    def __init__(self, geometry):
        self.geometry = geometry

    def forward(self, x):
        """Values and the flat index (row · width + column) of each, both (N, C, height, width)."""
        g = self.geometry
        self._x = x
        if g.wide_pad:
            self._x = F.pad(x, g.margins(), value=-torch.inf)
            y, self._index = _aten.max_pool2d_with_indices(self._x, g.kernel, g.stride)
        else:
            y, self._index = _aten.max_pool2d_with_indices(x, g.kernel, g.stride, g.pad, [1, 1], g.ceil)
        return y

    def index(self):
        """Where in the (unpadded) input plane each value of the last forward came from."""
        g = self.geometry
        if not g.wide_pad:
            return self._index
        width = self._x.shape[3]
        return (self._index // width - g.pad[0]) * g.size[1] + self._index % width - g.pad[1]

    def forget(self):
        """Drop what the last forward kept for backward."""
        self._x = self._index = None

    def backward(self, dy):
        """The diff of the input of the last forward."""
        g = self.geometry
        if not g.wide_pad:
            return _aten.max_pool2d_with_indices_backward(dy, self._x, g.kernel, g.stride, g.pad, [1, 1], g.ceil,
                                                          self._index)
        dx = _aten.max_pool2d_with_indices_backward(dy, self._x, g.kernel, g.stride, [0, 0], [1, 1], False, self._index)
        return F.pad(dx, [-m for m in g.margins()])


class AveragePool:
    """The mean of each window, in which the pads count as zeros (but not what lies beyond them)."""

    def __init__(self, geometry):
        self.geometry = geometry

    def forward(self, x):
        """Means, (N, C, height, width)."""
        g = self.geometry
        self._x = x
        if g.wide_pad:
            self._x = F.pad(x, g.margins())
            return _aten.avg_pool2d(self._x, g.kernel, g.stride, [0, 0], False, True, 1) / g.areas(x.device)
        if g.output == (1, 1) and g.kernel == g.size and g.pad == (0, 0):
            return x.mean((2, 3), keepdim=True)
        return _aten.avg_pool2d(x, g.kernel, g.stride, g.pad, g.ceil, True)

    def forget(self):
        """Drop what the last forward kept for backward."""
        self._x = None

    def backward(self, dy):
        """The diff of the input of the last forward."""
        g = self.geometry
        if not g.wide_pad:
            return _aten.avg_pool2d_backward(dy, self._x, g.kernel, g.stride, g.pad, g.ceil, True, None)
        dy = dy / g.areas(dy.device)
        dx = _aten.avg_pool2d_backward(dy, self._x, g.kernel, g.stride, [0, 0], False, True, 1)
        return F.pad(dx, [-m for m in g.margins()])


class StochasticPool:
    """Zeiler & Fergus 2013, for inputs of at least 0: a value drawn in proportion to itself, or their expectation."""

    def __init__(self, geometry):
        self.geometry = geometry

    def _windows(self, x):
        """(N, C, height, width, kernel area), zeros beyond the picture."""
        g = self.geometry
        padded = F.pad(x, g.margins())
        return padded.unfold(2, g.kernel[0], g.stride[0]).unfold(3, g.kernel[1], g.stride[1]).flatten(4)

    def expectation(self, x):
        """Σx² / Σx of each window, 0 where all are 0."""
        values = self._windows(x)
        return values.square().sum(-1) / values.sum(-1).clamp(min=torch.finfo(torch.float32).tiny)

    def forward(self, x):
        """One value of each window, drawn with a probability proportional to it."""
        values = self._windows(x)
        cumulated = values.cumsum(-1)
        draw = torch.rand(cumulated.shape[:-1], generator=random.generator(x.device), device=x.device).unsqueeze(-1)
        self._choice = (cumulated < draw * cumulated[..., -1:]).sum(-1, keepdim=True).clamp(max=values.shape[-1] - 1)
        self._padded = F.pad(x, self.geometry.margins()).shape
        return values.gather(-1, self._choice).squeeze(-1)

    def forget(self):
        """Drop what the last forward kept for backward."""
        self._choice = None

    def backward(self, dy):
        """The diff of the input of the last forward: each value's goes where it was drawn."""
        g = self.geometry
        device, choice = dy.device, self._choice.squeeze(-1)
        rows = torch.arange(g.output[0], device=device)[:, None] * g.stride[0] + choice // g.kernel[1]
        columns = torch.arange(g.output[1], device=device) * g.stride[1] + choice % g.kernel[1]
        place = (rows * self._padded[3] + columns).flatten(2)
        dx = dy.new_zeros(self._padded).flatten(2).scatter_add_(2, place, dy.flatten(2))
        return F.pad(dx.reshape(self._padded), [-m for m in g.margins()])
