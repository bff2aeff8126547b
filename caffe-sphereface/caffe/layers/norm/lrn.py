"""LRN: local response normalisation (Krizhevsky et al. 2012)."""

import torch
import torch.nn.functional as F

from caffe.blobs.blob import Blob
from caffe.blobs.memory_format import is_channels_last, to_format_of
from caffe.layers.support.registry import Layer, register


@register('LRN')
class LRN(Layer):
    """y = x / (k + alpha · m)^beta, with m the mean of x² over a window that counts zeros beyond the edge.

    The window spans local_size channels, or local_size² positions with WITHIN_CHANNEL, where k is always 1.
    """

    bottoms = 1
    tops = 1
    kept = ('_x', '_bases', '_factors')
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.lrn_param
        self.size, self.alpha, self.beta = param.local_size, param.alpha, param.beta
        self.within = param.norm_region == param.WITHIN_CHANNEL
        self.k = 1.0 if self.within else param.k
        self.area = self.size**2 if self.within else self.size
        if self.size % 2 == 0:
            self.error(f'local_size is {self.size}, expected an odd number')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_picture(bottom[0].shape)
        top[0].reshape(*bottom[0].shape)

    def _window_sum(self, x: torch.Tensor) -> torch.Tensor:
        half = self.size // 2
        if self.within:
            return F.avg_pool2d(x, self.size, 1, half, divisor_override=1)
        if is_channels_last(x):
            return _sum_along_lines(x.permute(0, 2, 3, 1), self.size).permute(0, 3, 1, 2)
        lines = x.reshape(len(x), 1, x.shape[1], -1)
        return F.avg_pool2d(lines, (self.size, 1), 1, (half, 0), divisor_override=1).reshape(x.shape)

    def _base(self, x: torch.Tensor) -> torch.Tensor:
        return self._window_sum(x.square()).mul_(self.alpha / self.area).add_(self.k)

    def _factor(self, base: torch.Tensor) -> torch.Tensor:
        """base^−beta; for the usual 3/4 from roots, which take a fraction of the time of a power."""
        if self.beta != 0.75:
            return base.pow(-self.beta)
        root = base.rsqrt()
        return root.mul_(root.sqrt())

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottom's, keeping nothing."""
        return self._factor(self._base(x)).mul_(x)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor
        if not self.needs_backward:
            top[0].tensor = self.infer(x)
            return
        self._x, self._bases = x, self._base(x)
        self._factors = self._factor(self._bases)
        top[0].tensor = x * self._factors

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        # windows are symmetric: the positions that x reaches are those that reach x
        direct = to_format_of(top[0].grad, self._x) * self._factors
        spread = self._window_sum(direct * self._x / self._bases)
        bottom[0].grad = direct.addcmul_(self._x, spread, value=-2 * self.alpha * self.beta / self.area)


def _sum_along_lines(lines: torch.Tensor, size: int) -> torch.Tensor:
    """Sums over windows of `size` along the last axis, zeros beyond the ends, as whole lines added to each other."""
    count = lines.shape[-1]
    padded = F.pad(lines, (size // 2, size // 2))
    total = padded[..., :count].clone()
    for start in range(1, size):
        total += padded[..., start : start + count]
    return total
