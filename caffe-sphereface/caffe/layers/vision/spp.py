"""SPP: spatial pyramid pooling (He et al. 2014), pictures of any size to vectors of one length."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register
from caffe.layers.vision.pooling_kernels import AveragePool, Geometry, MaxPool


@register('SPP')
class SPP(Layer):
    """Level l pools (N, C, H, W) into 2^l × 2^l windows; the levels' values follow one another, (N, values).

    A single level gives (N, C, 1, 1). `levels` are the poolings, each with its `geometry`.
    """

    bottoms = 1
    tops = 1
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.spp_param
        if not param.pyramid_height:
            self.error('pyramid_height is missing or 0, expected at least 1')
        if param.pool == param.STOCHASTIC:
            self.error('pool is STOCHASTIC, expected MAX or AVE')
        self._size: tuple[int, ...] | None = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        if len(shape) != 4 or 0 in shape:
            self.error(f'bottom of shape {shape}, expected 4 axes (num, channels, height, width) of at least 1')
        if self._size != shape[2:]:
            param = self.param.spp_param
            pool = MaxPool if param.pool == param.MAX else AveragePool
            self.levels = [pool(self._geometry(2**level, shape[2:])) for level in range(param.pyramid_height)]
            self._size = shape[2:]
        self._lengths = [shape[1] * op.geometry.output[0] * op.geometry.output[1] for op in self.levels]
        top[0].reshape(shape[0], sum(self._lengths), *[1, 1] * (len(self.levels) == 1))

    def _geometry(self, bins: int, size: tuple[int, ...]) -> Geometry:
        kernel = tuple(-(-n // bins) for n in size)
        pad = tuple((k * bins - n + 1) // 2 for k, n in zip(kernel, size))
        if any(p >= k for p, k in zip(pad, kernel)):
            self.error(f'a bottom of {size} is too small for {bins} x {bins} windows')
        return Geometry(kernel, kernel, pad, size)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        values = torch.cat([op.forward(bottom[0].tensor).flatten(1) for op in self.levels], 1)
        top[0].tensor = values.reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            shape = bottom[0].shape
            parts = top[0].grad.split(self._lengths, 1)
            bottom[0].grad = sum(
                op.backward(part.reshape(*shape[:2], *op.geometry.output)) for op, part in zip(self.levels, parts)
            )
