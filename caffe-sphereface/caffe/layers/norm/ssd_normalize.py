"""Normalize of SSD's fork: pictures or their positions divided by their norm, times a learned scale."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2


def is_ssd_normalize(param: caffe_pb2.LayerParameter) -> bool:
    """Whether a Normalize layer is SSD's: it has a `norm_param`, or one blob."""
    return param.HasField('norm_param') or len(param.blobs) == 1


@register('Normalize', when=is_ssd_normalize)
class SSDNormalize(Layer):
    """y = s · x / n with n = sqrt(Σ x² + eps) over whole pictures, or without `across_spatial` over channels.

    s is one learned value with `channel_shared`, else one for each channel (Liu et al. 2016, after ParseNet).
    dx = s · (dy − x · Σ(x · dy) / n²) / n: as in SSD's code the sum has no s in it, which is the true gradient where
    all channels share one. With `true_gradient` it has.
    """

    bottoms = 1
    tops = 1
    kept = ('_norm',)
    reads_back = ('bottom',)
    has_true_gradient = True
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.norm_param
        self.check_channels(bottom[0].shape)
        filler = param.scale_filler if param.HasField('scale_filler') else caffe_pb2.FillerParameter(value=1.0)
        add_parameter(self, () if param.channel_shared else bottom[0].shape[1:2], filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, param = bottom[0].shape, self.param.norm_param
        if len(shape) < 2 or not (param.channel_shared or shape[1:2] == self.blobs[0].shape):
            self.error(f'bottom of shape {shape} has other channels than its {self.blobs[0].count} scales')
        self.summed = list(range(1, len(shape))) if param.across_spatial else [1]
        top[0].reshape(*shape)

    def _sum(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(self.summed, keepdim=True)

    def _norms(self, x: torch.Tensor) -> torch.Tensor:
        return self._sum(x.square()).add_(self.param.norm_param.eps).sqrt_()

    def _scale(self, x: torch.Tensor) -> torch.Tensor:
        return self.blobs[0].tensor.reshape(-1, *[1] * (x.dim() - 2))

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottom's, keeping nothing."""
        return (x / self._norms(x)).mul_(self._scale(x))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor
        self._norm = self._norms(x)
        top[0].tensor = (x / self._norm).mul_(self._scale(x))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        x, dy = bottom[0].tensor, top[0].grad
        unit = x / self._norm
        if self.param_propagate_down[0]:
            along = unit * dy
            shared = self.param.norm_param.channel_shared
            self.blobs[0].add_grad(along.sum() if shared else along.transpose(0, 1).flatten(1).sum(1))
        if propagate_down[0]:
            scale = self._scale(x)
            if self.true_gradient:
                dy, scale = dy * scale, 1
            bottom[0].grad = torch.addcmul(dy, unit, self._sum(unit * dy), value=-1).mul_(scale / self._norm)
