"""Pooling over windows of pictures."""

from collections.abc import Sequence

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register
from caffe.layers.vision.pooling_kernels import AveragePool, Geometry, MaxPool, StochasticPool
from caffe.proto.caffe_pb2 import PoolingParameter

_KINDS: dict[int, type[MaxPool | AveragePool | StochasticPool]] = {
    PoolingParameter.MAX: MaxPool,
    PoolingParameter.AVE: AveragePool,
    PoolingParameter.STOCHASTIC: StochasticPool,
}


@register('Pooling')
class Pooling(Layer):
    """MAX, AVE or STOCHASTIC over windows of (N, C, H, W).

    With MAX a second top receives the flat index of each maximum in its plane, as float. `geometry` is the Geometry of
    the windows over bottoms of the present size.
    """

    bottoms = 1
    tops = (1, 2)
    kept = ()
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.pooling_param
        if param.HasField('kernel_depth'):
            self.error('has kernel_depth, expected it in a Pooling3D')
        self.check_picture(bottom[0].shape)
        self.is_max = param.pool == param.MAX
        self.stochastic = param.pool == param.STOCHASTIC
        if len(top) > 1 and not self.is_max:
            self.error('a second top (the mask) exists with pool: MAX only')
        self.pad, self.stride = self._pair('pad', 'pad'), self._pair('stride', 'stride')
        self.kernel = None if param.global_pooling else self._kernel()
        if 0 in self.stride:
            self.error(f'stride is {self.stride}, expected at least 1')
        if param.global_pooling and any(map(param.HasField, ('kernel_size', 'kernel_h', 'kernel_w'))):
            self.error('has global_pooling as well as a kernel size, expected one of them')
        if param.global_pooling and (self.pad != (0, 0) or self.stride != (1, 1)):
            self.error('global_pooling goes with pad 0 and stride 1 only')
        if self.stochastic and self.pad != (0, 0):
            self.error(f'pad is {self.pad}, expected 0 with pool: STOCHASTIC')
        self._size: tuple[int, ...] | None = None
        self.infer = None if self.stochastic or len(top) > 1 else self._infer

    def _pair(self, what: str, field: str) -> tuple[int, int]:
        """(height, width) from the single field or the _h and _w fields."""
        param = self.param.pooling_param
        given = [name for name in (f'{what}_h', f'{what}_w') if param.HasField(name)]
        if not given:
            return (getattr(param, field),) * 2
        if param.HasField(field):
            self.error(f'has {field} as well as {what}_h or {what}_w, expected one of them')
        if len(given) == 1:
            self.error(f'has {given[0]} alone, expected {what}_h and {what}_w, or {field}')
        return getattr(param, f'{what}_h'), getattr(param, f'{what}_w')

    def _kernel(self) -> tuple[int, int]:
        kernel = self._pair('kernel', 'kernel_size')
        if 0 in kernel:
            self.error('kernel_size is missing or 0, expected it or kernel_h and kernel_w, or global_pooling')
        if any(p >= k for p, k in zip(self.pad, kernel)):
            self.error(f'pad {self.pad} is not smaller than the kernel {kernel}')
        return kernel

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        if self._size != shape[2:]:
            self._prepare(shape)
        for blob in top:
            blob.reshape(*shape[:2], *self.geometry.output)

    def _prepare(self, shape: Sequence[int]) -> None:
        if len(shape) != 4 or 0 in shape[2:]:
            self.error(f'bottom of shape {shape}, expected 4 axes (num, channels, height, width) of at least 1')
        param, size = self.param.pooling_param, tuple(shape[2:])
        floor = param.round_mode == param.FLOOR or not param.ceil_mode
        geometry = Geometry(self.kernel or size, self.stride, self.pad, size, floor)
        if min(geometry.output) < 1:
            self.error(f'kernel {geometry.kernel} is larger than the padded input of {size}')
        self._op = _KINDS[param.pool](geometry)
        self.geometry, self._size = geometry, size

    def _infer(self, x: torch.Tensor) -> torch.Tensor:
        return self._op.infer(x)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor
        if self.stochastic and self.phase:
            top[0].tensor = self._op.infer(x)
            return
        top[0].tensor = self._op.forward(x)
        if len(top) > 1 and isinstance(self._op, MaxPool):
            top[1].tensor = self._op.index().to(x.dtype)

    def forget(self) -> None:
        """Drop what the last forward kept for backward."""
        self._op.forget()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        if self.stochastic and self.phase:
            self.error('STOCHASTIC pooling has a backward in the TRAIN phase only')
        bottom[0].grad = self._op.backward(top[0].grad)
