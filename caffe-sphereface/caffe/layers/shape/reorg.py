"""Reorg: squares of pixels become channels (Redmon and Farhadi 2017), in the order that darknet's code gives them."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Reorg')
class Reorg(Layer):
    """Bottom (N, C, H, W) → top (N, C · s², H / s, W / s), or (N, C / s², H · s, W · s) with `reverse`; s is `stride`.

    With `reverse`, y[n, k, h·s + a, w·s + b] = x[n, (a·s + b)·C/s² + k, h, w]. Without, as in darknet, the bottom's
    memory is read as if it were such a top, (N, C / s², H · s, W · s), and what it came from is the top's memory. So C
    must be divisible by s² in both directions. The gradient is the true one, which MobileNet-YOLO's CPU code leaves 0.
    """

    bottoms = 1
    tops = 1
    kept = ()
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.reorg_param
        self.stride, self.reverse = param.stride, param.reverse
        if not self.stride:
            self.error('stride is 0, expected at least 1')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, stride = bottom[0].shape, self.stride
        if len(shape) != 4 or shape[1] % stride**2 or not self.reverse and any(size % stride for size in shape[2:]):
            self.error(
                f'bottom of shape {shape}, expected (num, channels, height, width) with channels divisible by '
                f'{stride**2}{"" if self.reverse else f", height and width by {stride}"}'
            )
        num, channels, height, width = shape
        self.large = channels // stride**2, height * stride, width * stride
        self.small = channels * stride**2, height // stride, width // stride
        top[0].reshape(num, *(self.large if self.reverse else self.small))

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottom's."""
        sizes, order = self.parts()
        return x.reshape(len(x), *sizes).permute(order).reshape(len(x), *(self.large if self.reverse else self.small))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].tensor = self.infer(bottom[0].tensor)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            sizes, order = self.parts()
            moved = top[0].grad.reshape(len(top[0].grad), *([0, *sizes][axis] for axis in order[1:]))
            bottom[0].grad = moved.permute(*(order.index(axis) for axis in range(6))).reshape(bottom[0].shape)

    def parts(self) -> tuple[list[int], list[int]]:
        """(sizes in which the bottom is seen behind its first axis, order of all axes in which they are the top's)."""
        stride, (channels, height, width) = self.stride, self.large
        if self.reverse:
            return [stride, stride, channels, height // stride, width // stride], [0, 3, 4, 1, 5, 2]
        return [channels, height // stride, stride, width // stride, stride], [0, 3, 5, 1, 2, 4]
