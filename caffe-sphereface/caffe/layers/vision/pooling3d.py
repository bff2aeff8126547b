"""Pooling3D: pooling over windows of clips (Tran et al. 2015)."""

import itertools
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register

_aten = torch.ops.aten
Places = tuple[slice, ...]


@register('Pooling3D')
class Pooling3D(Layer):
    """MAX or AVE over windows (kernel_depth, kernel_size, kernel_size) of (N, C, T, H, W), of C3D's fork.

    Sizes round up, also where the last window begins beyond the clip: the least float for MAX. AVE counts the pad,
    which height and width alone have, as zeros, and nothing beyond it. Backward of MAX gives the diff of a window to
    every value that equals its maximum, as C3D does, or with `true_gradient` to the first of them.
    """

    bottoms = 1
    tops = 1
    kept = ('_index',)
    has_true_gradient = True
    _index: torch.Tensor | None = None

    @property
    def is_max(self) -> bool:
        """Whether it takes maxima, not means."""
        return self.param.pooling3d_param.pool == self.param.pooling3d_param.MAX

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.pooling3d_param
        # C3D's backward of MAX compares the values of bottom and top
        self.reads_back = ('bottom', 'top') if self.is_max and not self.param.true_gradient else ()
        if param.pool == param.STOCHASTIC:
            self.error('pool is STOCHASTIC, expected MAX or AVE')
        if self.is_max and param.pad:
            self.error(f'pad is {param.pad}, expected 0 with pool: MAX')
        self.kernel = param.kernel_depth, param.kernel_size, param.kernel_size
        self.stride = param.temporal_stride, param.stride, param.stride
        self.pad = 0, param.pad, param.pad
        for what, values in (
            ('kernel_depth and kernel_size', self.kernel),
            ('temporal_stride and stride', self.stride),
        ):
            if 0 in values:
                self.error(f'{what} are {values[0]} and {values[1]}, expected at least 1')
        if param.pad >= param.kernel_size:
            self.error(f'pad {param.pad} is not smaller than the kernel {param.kernel_size}')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        if len(shape) != 5 or 0 in shape[2:]:
            self.error(f'bottom of shape {shape}, expected (num, channels, time, height, width) of at least 1')
        ways = [size + 2 * pad - kernel for size, pad, kernel in zip(shape[2:], self.pad, self.kernel)]
        if min(ways) < 0:
            self.error(f'kernel {self.kernel} is larger than the padded clip of {shape[2:]}')
        self.output = [-(-way // step) + 1 for way, step in zip(ways, self.stride)]
        top[0].reshape(*shape[:2], *self.output)

    def around(self, size: tuple[int, ...]) -> list[int]:
        """What the windows cover beyond a clip of `size`, as F.pad takes it: of width, of height, of time."""
        lines = zip(self.output, self.stride, self.kernel, self.pad, size)
        ends = [(pad, (n - 1) * step + kernel - pad - length) for n, step, kernel, pad, length in lines]
        return [value for end in reversed(ends) for value in end]

    def areas(self, size: tuple[int, ...]) -> torch.Tensor:
        """How many places of the padded clip each window covers: (time, height, width); 0 or less for an empty one."""
        lines = []
        for n, step, kernel, pad, length in zip(self.output, self.stride, self.kernel, self.pad, size):
            start = torch.arange(n) * step - pad
            lines.append((start + kernel).clamp(max=length + pad) - start)
        return torch.einsum('i,j,k->ijk', *lines).to(torch.get_default_dtype())

    def _around(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, self.around(x.shape[2:]), value=-torch.finfo(x.dtype).max if self.is_max else 0.0)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = self._around(bottom[0].tensor)
        if self.is_max:
            top[0].tensor, self._index = _aten.max_pool3d_with_indices(x, self.kernel, self.stride)
        else:
            sums = _aten.avg_pool3d(x, self.kernel, self.stride, [0, 0, 0], False, True, 1)
            top[0].tensor = sums / self.areas(bottom[0].shape[2:]).to(x.device)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        x, dy = self._around(bottom[0].tensor), top[0].grad
        # of its input the kernels take only the shape
        if not self.is_max:
            dy = dy / self.areas(bottom[0].shape[2:]).to(dy.device)
            dx = _aten.avg_pool3d_backward(dy, x, self.kernel, self.stride, [0, 0, 0], False, True, 1)
        elif self.param.true_gradient:
            dx = _aten.max_pool3d_with_indices_backward(
                dy, x, self.kernel, self.stride, [0, 0, 0], [1, 1, 1], False, self._index
            )
        else:
            dx = torch.zeros_like(x)
            for places in self._places():
                dx[places] += dy * (x[places] == top[0].tensor)
        bottom[0].grad = F.pad(dx, [-margin for margin in self.around(bottom[0].shape[2:])])

    def _places(self) -> Iterator[Places]:
        """For each place in a window, where it lies in a padded clip in all windows."""
        for offsets in itertools.product(*map(range, self.kernel)):
            yield (
                slice(None),
                slice(None),
                *(
                    slice(first, first + (n - 1) * step + 1, step)
                    for first, n, step in zip(offsets, self.output, self.stride)
                ),
            )
