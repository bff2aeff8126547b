"""ReLU6: a rectifier that ends at 6, as mobile networks use it."""

from collections.abc import Callable

import torch

from caffe.blobs.blob import Blob
from caffe.blobs.memory_format import to_format_of
from caffe.layers.support.registry import Layer, register

_aten = torch.ops.aten


@register('ReLU6')
class ReLU6(Layer):
    """y = min(max(x, 0) + negative_slope · min(x, 0), 6), of MobileNet-YOLO's and Sophgo's forks.

    dx = dy where 0 < x < 6, negative_slope · dy where x ≤ 0, and 0 from 6 on.
    """

    bottoms = 1
    tops = 1
    in_place = True
    folds_as = 'activation'
    per_channel = True
    kept = ()
    reads_back = ('bottom',)
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottom's."""
        slope = self.param.relu6_param.negative_slope
        return torch.nn.functional.leaky_relu(x, slope).clamp_(max=6) if slope else x.clamp(0, 6)

    def activation(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """`infer` in place."""
        slope = self.param.relu6_param.negative_slope
        if slope:
            return lambda y: torch.nn.functional.leaky_relu_(y, slope).clamp_(max=6)
        return lambda y: y.clamp_(0, 6)

    def onednn_activation(self) -> tuple[str, list[float]] | None:
        """oneDNN's name and the limits, without a slope."""
        return None if self.param.relu6_param.negative_slope else ('hardtanh', [0.0, 6.0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].tensor = self.infer(bottom[0].tensor)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            # in place, `bottom` holds y, which lies on the same side of 0 and of 6 for slopes of at least 0
            slope = self.param.relu6_param.negative_slope
            x = bottom[0].tensor
            dy = to_format_of(top[0].grad, x)
            if slope:
                bottom[0].grad = _aten.leaky_relu_backward(dy, x, slope, False).mul_(x < 6)
            else:
                bottom[0].grad = _aten.hardtanh_backward(dy, x, 0, 6)
