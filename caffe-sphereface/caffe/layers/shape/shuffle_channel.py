"""ShuffleChannel: the channels of groups dealt out in turn (Zhang et al. 2017)."""

import torch
import torch.nn.functional as F

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('ShuffleChannel')
class ShuffleChannel(Layer):
    """y[:, j·g + i] = x[:, i·m + j] for g groups of m channels each, of ShuffleNet's fork."""

    bottoms = 1
    tops = 1
    kept = ()
    reads_back = ()
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.group, shape = self.param.shuffle_channel_param.group, bottom[0].shape
        self.check_channels(shape)
        if not self.group or shape[1] % self.group:
            self.error(f'group {self.group} does not divide channels of the bottom, {shape[1]}')
        top[0].reshape(*shape)

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottom's."""
        return _dealt(x, self.group)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].tensor = self.infer(bottom[0].tensor)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            dy = top[0].grad
            bottom[0].grad = _dealt(dy, max(1, dy.shape[1] // self.group))


def _dealt(x: torch.Tensor, groups: int) -> torch.Tensor:
    """A new tensor with the first channel of each group, then the second of each, and so on."""
    if groups == 1 or not x.numel():
        return x.clone()
    return F.channel_shuffle(x.reshape(*x.shape, 1) if x.dim() == 2 else x, groups).reshape(x.shape)
