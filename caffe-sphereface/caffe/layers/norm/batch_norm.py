"""BatchNorm: zero mean and unit variance per channel (Ioffe & Szegedy 2015), without scale and shift."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.blobs.memory_format import to_format_of
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2

_aten = torch.ops.aten


@register('BatchNorm')
class BatchNorm(Layer):
    """y = (x − mean) / sqrt(variance + eps) over all axes but the second.

    TRAIN uses the batch's statistics, TEST (or use_global_stats) the running ones. Its three blobs are the running sums
    of means and of unbiased variances and the weight by which both are divided; solvers leave them alone. `running`
    says which statistics it uses.

    With `stats_batch_size` s, of Intel's Caffe, TRAIN takes the batch for N / s batches of s pictures, one after
    another, each with statistics of its own, which enter the sums in turn.
    """

    bottoms = 1
    tops = 1
    in_place = True
    kept = ('_y',)
    folds_as = 'affine'
    per_channel = True
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.batch_norm_param
        self.eps, self.fraction = param.eps, param.moving_average_fraction
        self.running = param.use_global_stats if param.HasField('use_global_stats') else bool(self.phase)
        self.channels = self._channels_of(bottom[0].shape)
        for size in (self.channels, self.channels, 1):
            add_parameter(self, (size,), caffe_pb2.FillerParameter())
        self._unit: tuple[torch.Tensor, torch.Tensor] | None = None
        self._freeze()

    def _channels_of(self, shape: Sequence[int]) -> int:
        self.check_channels(shape)
        return shape[1]

    def _freeze(self) -> None:
        """No learning rate for the statistics; CaffeError where the prototxt asks for one."""
        for i in range(3):
            if i == len(self.param.param):
                self.param.param.add(lr_mult=0)
            elif self.param.param[i].lr_mult:
                self.error(f'param {i} has lr_mult {self.param.param[i].lr_mult}, expected 0 for statistics')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        if self._channels_of(shape) != self.channels:
            self.error(f'bottom of shape {shape}, expected {self.channels} channels')
        size = self.param.batch_norm_param.stats_batch_size
        self._parts = 1 if self.running or not size else max(1, shape[0] // size)
        if self._parts * size != shape[0] and size and not self.running:
            self.error(f'stats_batch_size {size}, batch of {shape[0]}, expected a multiple of it')
        top[0].reshape(*shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor
        if self.running:
            mean, variance = self.running_statistics()
            y, _, _ = _aten.native_batch_norm(x, None, None, mean, variance, False, 0.0, self.eps)
            self._factor = variance.add(self.eps).rsqrt_()
            top[0].tensor = y.reshape(top[0].shape)
            return
        made = [self._normalized(part) for part in x.chunk(self._parts)] if self._parts > 1 else [self._normalized(x)]
        y = torch.cat([part for part, _ in made]) if len(made) > 1 else made[0][0]
        self._factors = [factor for _, factor in made]
        self._y = y if self.needs_backward else None
        # backward needs these values whatever Python writes into a view of the top
        top[0].lend_data(y.reshape(top[0].shape))

    def _normalized(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(values of mean 0 and deviation 1, one over the deviations); the statistics enter the running sums."""
        # momentum 1 turns the kernel's running averages into this batch's mean and unbiased variance
        mean, variance = x.new_zeros(2, self.channels)
        y, _, factor = _aten.native_batch_norm(x, None, None, mean, variance, True, 1.0, self.eps)
        self._accumulate(mean, variance, x.numel() // self.channels)
        return y, factor

    def running_statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(mean, variance) of each channel over the batches so far, zeros where there was none."""
        mean, variance, weight = (blob.tensor for blob in self.blobs)
        factor = torch.where(weight == 0, 0.0, 1 / weight)
        return mean * factor, variance * factor

    def can_fold(self, shape: tuple[int, ...]) -> bool:
        """Whether the running statistics are used, for a bottom with channels."""
        return self.running and len(shape) > 1

    def linear(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(factor, shift) of each channel with running statistics, in double precision."""
        mean, variance = self.running_statistics()
        factor = (variance.double() + self.eps).rsqrt()
        return factor, -mean.double() * factor

    def blobs_of_module(self, tensor: Callable[[str], np.ndarray]) -> list[np.ndarray]:
        """Values for `blobs` from those of a torch.nn.BatchNorm2d, whose statistics are means already."""
        return [tensor('running_mean'), tensor('running_var'), np.ones(1, np.float32)]

    def _accumulate(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        """Add a batch's statistics to the running sums, in place: new tensors would lie between those of the pass."""
        if count == 1:
            variance.zero_()
        for blob, value in zip(self.blobs, (mean, variance, variance.new_ones(1))):
            with blob.changing() as total:
                torch.add(value, total, alpha=self.fraction, out=total)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = (dy − mean(dy) − y · mean(dy · y)) / sqrt(variance + eps); with running statistics dy over that root."""
        if not propagate_down[0] or not bottom[0].count:  # the kernel divides by the number of positions
            return
        dy = top[0].grad
        if self.running:
            dx = dy * self._factor.reshape(1, -1, *[1] * (dy.dim() - 2))
        else:
            y = self._y
            assert y is not None
            parts = zip(to_format_of(dy, y).chunk(self._parts), y.chunk(self._parts), self._factors, strict=True)
            made = [self._gradient(*part) for part in parts]
            dx = torch.cat(made) if len(made) > 1 else made[0]
        bottom[0].grad = dx.reshape(bottom[0].shape)

    def _gradient(self, dy: torch.Tensor, y: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        # the kernel's own formula for an input that is y itself, of mean 0 and deviation 1
        unit = self._unit_statistics(y)
        mask = [True, False, False]
        dx: torch.Tensor = _aten.native_batch_norm_backward(dy, y, factor, None, None, *unit, True, self.eps, mask)[0]
        return dx

    def _unit_statistics(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Means of 0 and deviations of 1; made once, since each fill is a call of its own on a GPU."""
        if self._unit is None or self._unit[0].device != y.device:
            self._unit = y.new_zeros(self.channels), y.new_ones(self.channels)
        return self._unit
