"""Pooling with padding of its own on each side, and means that leave the padding out."""

import torch
import torch.nn.functional as F

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register
from caffe.layers.vision.sides import margins, pads_sides
from caffe.proto import caffe_pb2
from caffe.proto.caffe_pb2 import PoolingParameter

_aten = torch.ops.aten
_WITHOUT_PADS = (PoolingParameter.AVE_EXC_PAD, PoolingParameter.AVE_TF)


def is_sided(param: caffe_pb2.LayerParameter) -> bool:
    """Whether a Pooling layer is Synopsys': padding of each side, or a mean of what is in the picture."""
    return pads_sides(param) or param.pooling_param.pool in _WITHOUT_PADS


@register('Pooling', when=is_sided)
class SidedPooling(Layer):
    """MAX, AVE, AVE_EXC_PAD (AVE_TF is the same) over windows of (N, C, H, W), of Synopsys' fork.

    AVE counts pads as zeros, but not what lies beyond them; AVE_EXC_PAD does not count them. Padding is `pad_l`,
    `pad_r`, `pad_t`, `pad_b`, or that of TensorFlow's SAME with `pad_type: 1`, or `pad`. Sizes round up or down as
    those of Pooling. `around` is what the windows cover beyond the picture: left, right, above, below.
    """

    bottoms = 1
    tops = 1
    kept = ('_index',)
    reads_back = ()
    _index: torch.Tensor

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.pooling_param
        if param.pad_type not in (0, 1):
            self.error(f'pad_type is {param.pad_type}, expected 0, or 1 for size / stride windows')
        if param.pool == param.STOCHASTIC:
            self.error('pads each side with pool: STOCHASTIC, expected MAX or a mean')
        stride = (param.stride_h or param.stride, param.stride_w or param.stride)
        self.stride = (1, 1) if param.global_pooling else stride
        if 0 in self.stride:
            self.error(f'stride is {self.stride}, expected at least 1')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, shape = self.param.pooling_param, bottom[0].shape
        self.check_picture(shape)
        self.kernel: tuple[int, ...] = (param.kernel_h or param.kernel_size, param.kernel_w or param.kernel_size)
        if param.global_pooling:
            self.kernel = shape[2:]
        if 0 in self.kernel:
            self.error('kernel_size is missing or 0, expected it or kernel_h and kernel_w, or global_pooling')
        self.pads = margins(param, self.kernel, self.stride, shape[2:])
        if not pads_sides(self.param):
            height, width = (param.pad_h or param.pad, param.pad_w or param.pad)
            self.pads = [width, width, height, height]
        if any(pad >= self.kernel[1 - i // 2] for i, pad in enumerate(self.pads)):
            self.error(f'pads {self.pads} are not smaller than the kernel {self.kernel}')
        sides = (self.pads[2:], self.pads[:2])
        count = [
            self._windows(size, kernel, stride, *pads)
            for size, kernel, stride, pads in zip(shape[2:], self.kernel, self.stride, sides)
        ]
        if min(count) < 1:
            self.error(f'kernel {self.kernel} is larger than the padded input of {shape[2:]}')
        self.around = [0] * 4
        for i, (size, kernel, stride, n) in enumerate(zip(shape[2:], self.kernel, self.stride, count)):
            before = sides[i][0]
            self.around[2 - 2 * i : 4 - 2 * i] = [before, (n - 1) * stride + kernel - before - size]
        top[0].reshape(*shape[:2], *count)

    def _windows(self, size: int, kernel: int, stride: int, before: int, after: int) -> int:
        """The number of windows along one axis."""
        param = self.param.pooling_param
        if param.pad_type:
            return -(-size // stride)
        floor = param.round_mode == param.FLOOR or not param.ceil_mode
        way = size + before + after - kernel
        count = (way // stride if floor else -(-way // stride)) + 1
        return count - 1 if (before or after) and (count - 1) * stride >= size + before else count

    def areas(self, size: tuple[int, ...]) -> torch.Tensor:
        """What each window is divided by in pictures of `size`: (output height, output width)."""
        lines = []
        counts_pads = self.param.pooling_param.pool not in _WITHOUT_PADS
        for i, (length, kernel, stride) in enumerate(zip(size, self.kernel, self.stride)):
            before, after = self.pads[2 - 2 * i : 4 - 2 * i]
            covered = self.around[2 - 2 * i : 4 - 2 * i]
            count = (length + sum(covered) - kernel) // stride + 1
            start = torch.arange(count) * stride - before
            end = (start + kernel).clamp(max=length + (after if counts_pads else 0))
            lines.append(end - (start if counts_pads else start.clamp(min=0)))
        return torch.outer(*lines).to(torch.get_default_dtype())

    @property
    def is_max(self) -> bool:
        """Whether it takes maxima, not means."""
        return self.param.pooling_param.pool == PoolingParameter.MAX

    def _around(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, self.around, value=-torch.inf if self.is_max else 0.0)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = self._around(bottom[0].tensor)
        if self.is_max:
            top[0].tensor, self._index = _aten.max_pool2d_with_indices(x, self.kernel, self.stride)
        else:
            sums = _aten.avg_pool2d(x, self.kernel, self.stride, [0, 0], False, True, 1)
            top[0].tensor = sums / self.areas(bottom[0].shape[2:]).to(x.device)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        x, dy = self._around(bottom[0].tensor), top[0].grad
        # of its input the kernels take only the shape
        if self.is_max:
            dx = _aten.max_pool2d_with_indices_backward(
                dy, x, self.kernel, self.stride, [0, 0], [1, 1], False, self._index
            )
        else:
            dy = dy / self.areas(bottom[0].shape[2:]).to(dy.device)
            dx = _aten.avg_pool2d_backward(dy, x, self.kernel, self.stride, [0, 0], False, True, 1)
        bottom[0].grad = F.pad(dx, [-margin for margin in self.around])
