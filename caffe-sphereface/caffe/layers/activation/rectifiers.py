"""ReLU and PReLU."""

from collections.abc import Callable

import torch

from caffe.blobs.blob import Blob
from caffe.blobs.memory_format import to_format_of
from caffe.layers.support.cache_blocks import blocks
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2

_aten = torch.ops.aten


@register('ReLU')
class ReLU(Layer):
    """y = max(x, 0) + negative_slope · min(x, 0)."""

    bottoms = 1
    tops = 1
    in_place = True
    kept = ()
    folds_as = 'activation'
    per_channel = True
    reads_back = ('bottom',)
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottom's."""
        slope = self.param.relu_param.negative_slope
        return torch.nn.functional.leaky_relu(x, slope) if slope else torch.relu(x)

    def activation(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """`infer` in place."""
        slope = self.param.relu_param.negative_slope
        return (lambda y: torch.nn.functional.leaky_relu_(y, slope)) if slope else torch.relu_

    def onednn_activation(self) -> tuple[str, list[float]]:
        """oneDNN's name, and the slope where there is one."""
        slope = self.param.relu_param.negative_slope
        return ('leaky_relu', [slope]) if slope else ('relu', [])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].tensor = self.infer(bottom[0].tensor)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            # in place, `bottom` holds y; its sign is that of x for slopes of at least 0
            slope = self.param.relu_param.negative_slope
            x = bottom[0].tensor
            dy = to_format_of(top[0].grad, x)
            bottom[0].grad = (
                _aten.leaky_relu_backward(dy, x, slope, False) if slope else _aten.threshold_backward(dy, x, 0)
            )


@register('PReLU')
class PReLU(Layer):
    """y = max(x, 0) + a_c · min(x, 0) with a learned slope a_c per channel, or one for all (He et al. 2015)."""

    bottoms = 1
    tops = 1
    in_place = True
    kept = ('_x',)
    folds_as = 'activation'
    per_channel = True
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.prelu_param
        shape = bottom[0].shape
        self.check_channels(shape)
        filler = param.filler if param.HasField('filler') else caffe_pb2.FillerParameter(type='constant', value=0.25)
        add_parameter(self, () if param.channel_shared else shape[1:2], filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        if not self.param.prelu_param.channel_shared and bottom[0].shape[1:2] != self.blobs[0].shape:
            self.error(f'bottom of shape {bottom[0].shape} has other channels than its {self.blobs[0].count} slopes')
        top[0].reshape(*bottom[0].shape)

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottom's."""
        return torch.prelu(x, self.blobs[0].tensor.reshape(-1))

    def activation(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """`infer` with the present slopes."""
        slope = self.blobs[0].tensor.reshape(-1)
        return lambda y: torch.prelu(y, slope)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].keep() if bottom[0] is top[0] else bottom[0].tensor
        self._x: torch.Tensor = x if self.needs_backward else None
        top[0].tensor = self.infer(x)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        dx, dslope = self._gradients(to_format_of(top[0].grad, self._x))
        if self.param_propagate_down[0]:
            self.blobs[0].add_grad(dslope)
        if propagate_down[0]:
            bottom[0].grad = dx

    def _gradients(self, dy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(dx, the gradient of the slope)."""
        slope = self._broadcast(self.blobs[0].tensor.reshape(-1))
        if dy.device.type != 'cpu':
            dx, dslope = _aten._prelu_kernel_backward(dy, self._x, slope)
            return dx, self._sum_of(dslope)
        dx = torch.empty_like(dy)
        return dx, sum(self._block(x, d, into, slope) for x, d, into in blocks(self._x, dy, dx))

    def _block(self, x: torch.Tensor, dy: torch.Tensor, dx: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        """Fill `dx`; what these values give to the gradient of the slope."""
        # PyTorch's kernel branches for each element on the CPU; these are vectorised and take a fraction of its time
        _aten.threshold_backward.grad_input(dy, x, 0, grad_input=dx)
        rest = dy - dx
        dx.addcmul_(rest, slope)
        return self._sum_of(torch.clamp(x, max=0, out=rest).mul_(dy))

    def _broadcast(self, slope: torch.Tensor) -> torch.Tensor:
        return slope.reshape(1, -1, *[1] * (self._x.dim() - 2))

    def _sum_of(self, dslope: torch.Tensor) -> torch.Tensor:
        if self.param.prelu_param.channel_shared:
            return dslope.sum().reshape(self.blobs[0].shape)
        return dslope.sum([axis for axis in range(dslope.dim()) if axis != 1])
