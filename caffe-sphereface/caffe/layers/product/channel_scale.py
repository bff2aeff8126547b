"""ChannelScale: one factor for each position, for all of its channels."""

from math import prod

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2


@register('ChannelScale')
class ChannelScale(Layer):
    """y = s · x of bottoms x (N, C, H, W) and s, N · H · W values; y = x without `do_forward` (caffe-windows).

    dx = s · dy, or dy without `do_backward_feature`; ds = Σ dy · x over channels, or 0 without `do_backward_scale`.
    With `global_scale` one blob of one value, limited in place to [min_global_scale, max_global_scale], stands for s in
    forward and is the second top. Backward takes s all the same and the blob has no gradient, as the fork's code does;
    with `true_gradient` dx is that of the value used, and s has none.
    """

    bottoms = 2
    tops = (1, 2)
    kept = ()
    reads_back = ('bottom',)
    has_true_gradient = True
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.channel_scale_param
        if len(top) > 1 and not param.global_scale:
            self.error('has a second top, expected it with global_scale: true only')
        if not param.global_scale:
            return
        add_parameter(self, (1,), caffe_pb2.FillerParameter(value=-1))
        self.param.param or self.param.param.add()
        self.param.param[0].lr_mult = 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, scale = bottom[0].shape, bottom[1].shape
        if len(shape) < 2 or scale[:1] != shape[:1] or prod(scale[1:]) != prod(shape[2:]):
            self.error(f'bottom 1 has shape {scale}, expected one value for each position of bottom 0, {shape}')
        self.positions = shape[0], 1, *shape[2:]
        top[0].reshape(*shape)
        if len(top) > 1:
            top[1].reshape(1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, x = self.param.channel_scale_param, bottom[0].tensor
        scale = self._given(bottom)
        if param.global_scale:
            with self.blobs[0].changing() as scale:
                scale.clamp_(param.min_global_scale, param.max_global_scale)
            if len(top) > 1:
                top[1].tensor = scale.clone()
        top[0].tensor = scale * x if param.do_forward else x.clone()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        dy = top[0].grad
        if propagate_down[0]:
            factor = self._feature_factor(bottom)
            bottom[0].grad = dy.clone() if factor is None else dy * factor
        if propagate_down[1]:
            if self._moves_scale():
                bottom[1].grad = (dy * bottom[0].tensor).sum(1).reshape(bottom[1].shape)
            else:
                bottom[1].clear_grad()

    def _feature_factor(self, bottom: list[Blob]) -> torch.Tensor | None:
        """What dy is multiplied by for dx; None for 1."""
        param = self.param.channel_scale_param
        if not self.true_gradient:
            return self._given(bottom) if param.do_backward_feature else None
        if not param.do_forward:
            return None
        return self.blobs[0].tensor if param.global_scale else self._given(bottom)

    def _given(self, bottom: list[Blob]) -> torch.Tensor:
        """s with an axis for channels."""
        return bottom[1].tensor.reshape(self.positions)

    def _moves_scale(self) -> bool:
        param = self.param.channel_scale_param
        return param.do_forward and not param.global_scale if self.true_gradient else param.do_backward_scale
