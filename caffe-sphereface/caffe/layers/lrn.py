"""LRN: local response normalisation (Krizhevsky et al. 2012)."""

import torch.nn.functional as F

from caffe.layers.layout import laid_out_like, lies_channels_inside
from caffe.layers.registry import Layer, register


@register('LRN')
class LRN(Layer):
    """y = x / (k + alpha · m)^beta, with m the mean of x² over a window that counts zeros beyond the edge.

    The window spans local_size channels, or local_size² positions with WITHIN_CHANNEL, where k is always 1.
    """

    bottoms = 1
    tops = 1
    kept = ('_x', '_base', '_factor')
    reads_back = ()

    def setup(self, bottom, top):
        param = self.param.lrn_param
        self.size, self.alpha, self.beta = param.local_size, param.alpha, param.beta
        self.within = param.norm_region == param.WITHIN_CHANNEL
        self.k = 1.0 if self.within else param.k
        if self.size % 2 == 0:
            self.error(f'local_size is {self.size}, expected an odd number')

    def reshape(self, bottom, top):
        if len(bottom[0].shape) != 4:
            self.error(f'bottom of shape {bottom[0].shape}, expected 4 axes (num, channels, height, width)')
        top[0].reshape(*bottom[0].shape)

    def _window_mean(self, x):
        if self.within:
            return F.avg_pool2d(x, self.size, 1, self.size // 2)
        if lies_channels_inside(x):
            lines = x.permute(0, 2, 3, 1).flatten(1, 2).unsqueeze(1)
            means = F.avg_pool2d(lines, (1, self.size), 1, (0, self.size // 2))
            return means.reshape(len(x), *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)
        lines = x.reshape(len(x), 1, x.shape[1], -1)
        return F.avg_pool2d(lines, (self.size, 1), 1, (self.size // 2, 0)).reshape(x.shape)

    def forward(self, bottom, top):
        x = bottom[0].keep() if bottom[0] is top[0] else bottom[0].tensor
        base = self._window_mean(x.square()).mul_(self.alpha).add_(self.k)
        factor = base.pow(-self.beta)
        top[0].tensor = x * factor
        if self.needs_backward:
            self._x, self._base, self._factor = x, base, factor

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        # windows are symmetric: the positions that x reaches are those that reach x
        direct = laid_out_like(top[0].grad, self._x) * self._factor
        spread = self._window_mean(direct * self._x / self._base)
        bottom[0].grad = direct.addcmul_(self._x, spread, value=-2 * self.alpha * self.beta)
