"""Scale and Bias: factors and offsets that are constant over the axes before and behind their own."""

from collections.abc import Sequence
from math import prod

import torch

from caffe.blobs.blob import Blob
from caffe.blobs.memory_format import to_format_of
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2
from caffe.proto.caffe_pb2 import BiasParameter, ScaleParameter

_aten = torch.ops.aten


class Broadcast:
    """Where a smaller blob lies in a bottom: from `axis` on, over as many axes as it has."""

    def __init__(self, layer: Layer, param: ScaleParameter | BiasParameter, bottom: list[Blob]) -> None:
        self.layer = layer
        self.given = len(bottom) > 1
        # a single value lies anywhere
        self.axis = 0 if self.given and not bottom[1].shape else layer.axis(param.axis, bottom[0])
        if not self.given:
            self.shape = self._learned_shape(param.num_axes, bottom[0].shape)

    def _learned_shape(self, axes: int, shape: Sequence[int]) -> Sequence[int]:
        if axes < -1 or (axes >= 0 and self.axis + axes > len(shape)):
            self.layer.error(f'num_axes {axes} from axis {self.axis} does not fit a bottom of shape {shape}')
        return shape[self.axis :] if axes == -1 else shape[self.axis : self.axis + axes]

    def check(self, bottom: list[Blob]) -> None:
        """Take the shape of the second bottom, if any, and hold it against the first."""
        if self.given:
            self.shape = bottom[1].shape
        axis = self.axis if self.shape else 0
        whole = bottom[0].shape
        if whole[axis : axis + len(self.shape)] != self.shape:
            self.layer.error(f'values of shape {self.shape} do not fit a bottom of shape {whole} from axis {axis} on')
        self.count = prod(self.shape)
        self.view = (prod(whole[:axis]), self.count, prod(whole[axis + len(self.shape) :]))


@register('Scale')
class Scale(Layer):
    """y = x · s, plus a bias with `bias_term`; s is learned or the second bottom.

    With `min_value` or `max_value`, of caffe-windows, a learned s is limited in its blob at every forward, the maximum
    last; the gradient is that of y = x · s.
    """

    bottoms = (1, 2)
    tops = 1
    in_place = True
    kept = ('_x',)
    folds_as = 'affine'
    per_channel = True
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.scale_param
        self._unit: tuple[torch.Tensor, torch.Tensor] | None = None
        self.broadcast = Broadcast(self, param, bottom)
        self.broadcast.check(bottom)
        self.reads_back = ('bottom',) if self.broadcast.given else ()
        if self.broadcast.given and (param.HasField('min_value') or param.HasField('max_value')):
            self.error('has min_value or max_value with a second bottom, expected them for learned factors')
        if not self.broadcast.given:
            filler = param.filler if param.HasField('filler') else caffe_pb2.FillerParameter(value=1.0)
            add_parameter(self, self.broadcast.shape, filler)
        if param.bias_term:
            add_parameter(self, self.broadcast.shape, param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.broadcast.check(bottom)
        top[0].reshape(*bottom[0].shape)

    def can_fold(self, shape: tuple[int, ...]) -> bool:
        """Whether the layer has a learned factor for each channel that nothing limits."""
        param = self.param.scale_param
        if param.HasField('min_value') or param.HasField('max_value'):
            return False
        return not self.broadcast.given and self.broadcast.axis == 1 and self.blobs[0].shape == shape[1:2]

    def _scale(self, bottom: list[Blob]) -> Blob:
        return bottom[1] if self.broadcast.given else self.blobs[0]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].keep() if bottom[0] is top[0] else bottom[0].tensor
        x = self._with_channels(x)
        self._x = x if self.needs_backward else None
        self._limit_scale()
        scale = self._scale(bottom).tensor.reshape(-1)
        bias = self.blobs[-1].tensor.reshape(-1) if self.param.scale_param.bias_term else None
        y = _aten.native_batch_norm(x, scale, bias, *self._no_statistics(), False, 0.0, 0.0)[0]
        top[0].tensor = y.reshape(top[0].shape)

    def _limit_scale(self) -> None:
        """Bring the learned factors between min_value and max_value, where those are stated."""
        param = self.param.scale_param
        limits = [getattr(param, name) if param.HasField(name) else None for name in ('min_value', 'max_value')]
        if limits != [None, None]:
            with self.blobs[0].changing() as scale:
                scale.clamp_(*limits)

    def _with_channels(self, x: torch.Tensor) -> torch.Tensor:
        """`x` with the axes of the factors as its second; as it is where they are that, to keep its order in memory."""
        before, count, _ = self.broadcast.view
        return x if x.dim() > 2 and x.shape[:2] == (before, count) else x.reshape(self.broadcast.view)

    def _no_statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean 0 and variance 1: batch normalisation with these is Scale, in one pass each way."""
        if self._unit is None or self._unit[0].shape != (self.broadcast.count,) or self._unit[0].device != self.device:
            self._unit = (
                torch.zeros(self.broadcast.count, device=self.device),
                torch.ones(self.broadcast.count, device=self.device),
            )
        return self._unit

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        broadcast, scale = self.broadcast, self._scale(bottom)
        if not bottom[0].count:  # the kernel divides by the number of positions
            if broadcast.given:
                scale.clear_grad()
            return
        needed = propagate_down[1] if broadcast.given else self.param_propagate_down[0]
        bias = self.param.scale_param.bias_term and self.param_propagate_down[-1]
        dx, dscale, dbias = _aten.native_batch_norm_backward(
            to_format_of(self._with_channels(top[0].grad), self._x),
            self._x,
            scale.tensor.reshape(-1),
            *self._no_statistics(),
            None,
            None,
            False,
            0.0,
            [propagate_down[0], needed, bias],
        )
        if propagate_down[0]:
            bottom[0].grad = dx.reshape(bottom[0].shape)
        if bias:
            self.blobs[-1].add_grad(dbias.reshape(broadcast.shape))
        if needed and broadcast.given:
            scale.grad = dscale.reshape(broadcast.shape)
        elif needed:
            scale.add_grad(dscale.reshape(broadcast.shape))


@register('Bias')
class Bias(Layer):
    """y = x + b; b is learned or the second bottom."""

    bottoms = (1, 2)
    tops = 1
    in_place = True
    kept = ()
    per_channel = True
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.bias_param
        self.broadcast = Broadcast(self, param, bottom)
        self.broadcast.check(bottom)
        if not self.broadcast.given:
            add_parameter(self, self.broadcast.shape, param.filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.broadcast.check(bottom)
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        bias = (bottom[1] if self.broadcast.given else self.blobs[0]).tensor
        y = bottom[0].tensor.reshape(self.broadcast.view) + bias.reshape(1, -1, 1)
        top[0].tensor = y.reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        dy = top[0].grad
        if self.broadcast.given and propagate_down[1]:
            bottom[1].grad = self._sum(dy)
        elif not self.broadcast.given and self.param_propagate_down[0]:
            self.blobs[0].add_grad(self._sum(dy))
        if propagate_down[0] and bottom[0] is not top[0]:
            bottom[0].lend_grad(dy)

    def _sum(self, dy: torch.Tensor) -> torch.Tensor:
        """Sums over what lies before and behind the bias's axes."""
        return dy.reshape(self.broadcast.view).sum((0, 2)).reshape(self.broadcast.shape)
