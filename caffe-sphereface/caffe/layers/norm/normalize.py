"""Normalize: each position's channels divided by their norm."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Normalize')
class Normalize(Layer):
    """y = x / ‖x‖ over the channels; L2 has 1e-6 under the root, L1 has 1e-6 added.

    A second top receives the norms as (num, 1, height, width), whose diff flows back with `bp_norm`. Of NormFace
    (Wang et al. 2017), as SphereFace+ has it: the top has at least 4 axes, `fix_gradient` changes nothing, and L1's
    gradients have brackets missing: dx = (dy − [x > 0] − [x < 0] · Σ(y · dy)) / ‖x‖, plus d‖x‖ · [x > 0] − [x < 0] with
    `bp_norm`. With `true_gradient` it is (dy − sign(x) · Σ(y · dy)) / ‖x‖, plus d‖x‖ · sign(x).
    """

    bottoms = 1
    tops = (1, 2)
    in_place = True
    has_true_gradient = True
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.kind = self.param.normalize_param.normalize_type
        if self.kind not in ('L1', 'L2'):
            self.error(f"normalize_type is '{self.kind}', expected L1 or L2")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        self.check_channels(shape)
        space = (shape[2:] + (1, 1))[: max(2, len(shape) - 2)]
        top[0].reshape(*shape[:2], *space)
        if len(top) > 1:
            top[1].reshape(shape[0], 1, *space)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor.reshape(top[0].shape)
        if self.kind == 'L2':
            self._norm = x.square().sum(1, keepdim=True).add_(1e-6).sqrt_()
        else:
            self._norm = x.abs().sum(1, keepdim=True).add_(1e-6)
        self._y = top[0].tensor = x / self._norm
        if len(top) > 1:
            top[1].tensor = self._norm

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        dy, y = top[0].grad, self._y
        dx = self._bent(dy, y, (dy * y).sum(1, keepdim=True)).div_(self._norm)
        if self.param.normalize_param.bp_norm and len(top) > 1:
            dx += self._of_norm(y, top[1].grad)
        bottom[0].grad = dx.reshape(bottom[0].shape)

    def _bent(self, dy: torch.Tensor, y: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
        """dy less `along` times the derivative of the norm."""
        if self.kind == 'L1' and not self.true_gradient:
            return dy - (y > 0).to(y.dtype) - (y < 0) * along
        return dy - (y if self.kind == 'L2' else y.sign()) * along

    def _of_norm(self, y: torch.Tensor, dnorm: torch.Tensor) -> torch.Tensor:
        """What the diff of the norms adds to that of the bottom."""
        if self.kind == 'L1' and not self.true_gradient:
            return dnorm * (y > 0) - (y < 0).to(y.dtype)
        return dnorm * (y if self.kind == 'L2' else y.sign())
