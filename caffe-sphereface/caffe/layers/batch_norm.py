"""BatchNorm: zero mean and unit variance a channel (Ioffe & Szegedy 2015), without scale and shift."""

import torch

from caffe.blob import Blob
from caffe.fillers import fill
from caffe.layers.layout import laid_out_like
from caffe.layers.registry import Layer, register
from caffe.proto import caffe_pb2

_aten = torch.ops.aten


@register('BatchNorm')
class BatchNorm(Layer):
    """y = (x − mean) / sqrt(variance + eps) over all axes but the second.

    TRAIN uses the batch's statistics, TEST (or use_global_stats) the running ones. Its three blobs are the running sums
    of means and of unbiased variances and the weight by which both are divided; solvers leave them alone.
    """

    bottoms = 1
    tops = 1
    kept = ('_x',)

    def setup(self, bottom, top):
        param = self.param.batch_norm_param
        self.eps, self.fraction = param.eps, param.moving_average_fraction
        self.running = param.use_global_stats if param.HasField('use_global_stats') else bool(self.phase)
        self.channels = bottom[0].shape[1] if len(bottom[0].shape) > 1 else 1
        for size in (self.channels, self.channels, 1):
            self.blobs.append(Blob(size, name=self.name))
            fill(self.blobs[-1], caffe_pb2.FillerParameter(), f"layer '{self.name}'")
        self._freeze()

    def _freeze(self):
        """No learning rate for the statistics; CaffeError where the prototxt asks for one."""
        for i in range(3):
            if i == len(self.param.param):
                self.param.param.add(lr_mult=0)
            elif self.param.param[i].lr_mult:
                self.error(f'param {i} has lr_mult {self.param.param[i].lr_mult}, expected 0 for statistics')

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        if (shape[1] if len(shape) > 1 else 1) != self.channels:
            self.error(f'bottom of shape {shape}, expected {self.channels} channels')
        top[0].reshape(*shape)

    def forward(self, bottom, top):
        x = bottom[0].keep() if bottom[0] is top[0] else bottom[0].tensor
        x = x if x.dim() > 1 else x.unsqueeze(1)
        self._x = x if self.needs_backward else None
        if self.running:
            self._mean, self._variance = self._running_statistics()
            y, _, _ = _aten.native_batch_norm(x, None, None, self._mean, self._variance, False, 0.0, self.eps)
            self._saved = None, None
        else:
            # momentum 1 turns the kernel's running averages into this batch's mean and unbiased variance
            self._mean, self._variance = x.new_zeros(2, self.channels)
            y, *self._saved = _aten.native_batch_norm(x, None, None, self._mean, self._variance, True, 1.0, self.eps)
            self._accumulate(x.numel() // self.channels)
        top[0].tensor = y.reshape(top[0].shape)

    def _running_statistics(self):
        mean, variance, weight = (blob.tensor for blob in self.blobs)
        factor = torch.where(weight == 0, 0.0, 1 / weight)
        return mean * factor, variance * factor

    def _accumulate(self, count):
        if count == 1:
            self._variance.zero_()
        one = torch.ones_like(self.blobs[2].tensor)
        for blob, value in zip(self.blobs, (self._mean, self._variance, one)):
            blob.tensor = value.add(blob.tensor, alpha=self.fraction)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0] and bottom[0].count:  # the kernel divides by the number of positions
            dy = laid_out_like(top[0].grad.reshape(self._x.shape), self._x)
            dx, _, _ = _aten.native_batch_norm_backward(dy, self._x, None, self._mean, self._variance, *self._saved,
                                                        not self.running, self.eps, [True, False, False])
            bottom[0].grad = dx.reshape(bottom[0].shape)
