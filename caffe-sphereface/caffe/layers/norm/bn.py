"""BN: batch normalisation with scale and shift in one layer, PSPNet's and SegNet's."""

from collections.abc import Callable

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.blobs.memory_format import to_format_of
from caffe.layers.norm import small_normalization as small
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2

_aten = torch.ops.aten
SEGNET_EPS = 1e-9


def is_segnet_bn(param: caffe_pb2.LayerParameter) -> bool:
    """Whether a BN layer is SegNet's: it has one of the fields of SegNet's fork, or two blobs.

    PSPNet's as first published has SegNet's fillers and `moving_average`.
    """
    if param.bn_param.moving_average:
        return False
    fields = ('scale_filler', 'shift_filler', 'bn_mode')
    return any(map(param.bn_param.HasField, fields)) or len(param.blobs) == 2


class _Normalisation(Layer):
    """What both have: blobs 0 and 1 (1, C, 1, 1) are factor and offset of y = factor · x̂ + offset.

    x̂ = (x − mean) / sqrt(variance + eps) over all axes but the second.
    """

    bottoms = 1
    in_place = True
    folds_as = 'affine'
    per_channel = True
    kept = ('_x', '_mean', '_factor')
    reads_back = ()
    eps: float
    no_capture = None

    def _set_up_channels(self, bottom: list[Blob], *fillers: caffe_pb2.FillerParameter) -> None:
        """One blob (1, C, 1, 1) for each filler."""
        self.check_channels(bottom[0].shape)
        self.channels = bottom[0].shape[1]
        for filler in fillers:
            add_parameter(self, (1, self.channels, 1, 1), filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        if bottom[0].shape[1:2] != (self.channels,):
            self.error(f'bottom of shape {bottom[0].shape}, expected {self.channels} channels')
        top[0].reshape(*bottom[0].shape)

    def _values(self, index: int) -> torch.Tensor:
        return self.blobs[index].tensor.reshape(-1)

    def _keep_input(self, bottom: list[Blob], top: list[Blob]) -> torch.Tensor:
        x = bottom[0].keep() if bottom[0] is top[0] else bottom[0].tensor
        self._x = x if self.needs_backward else None
        return x

    def _of_batch(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(the top's values, mean and biased variance of the batch)."""
        # momentum 1 turns the kernel's running averages into this batch's mean and unbiased variance
        mean, variance = x.new_zeros(2, self.channels)
        y, self._mean, self._factor = _aten.native_batch_norm(
            x, self._values(0), self._values(1), mean, variance, True, 1.0, self.eps
        )
        count = x.numel() // max(1, self.channels)
        return y, mean, variance.mul_((count - 1) / count) if count > 1 else variance.zero_()

    def _gradients(
        self, dy: torch.Tensor, wanted: list[bool], moments: tuple[torch.Tensor, torch.Tensor] | None
    ) -> list[torch.Tensor | None]:
        """Those of bottom, factor and offset; with `moments` (mean, variance) as constants, else as of the batch."""
        if moments is None and small.is_small(self._x):
            return small.gradients(dy, self._x, self._values(0), self._mean, self._factor, wanted)
        return _aten.native_batch_norm_backward(
            to_format_of(dy, self._x),
            self._x,
            self._values(0),
            *(moments or (None, None)),
            self._mean,
            self._factor,
            moments is None,
            self.eps,
            wanted,
        )


@register('BN')
class BN(_Normalisation):
    """y = slope · x̂ + bias with running statistics, of PSPNet's fork (Zhao et al. 2017).

    Blobs: slope, bias, mean, variance, each (1, C, 1, 1). TRAIN without `frozen` takes the batch's mean and biased
    variance and moves the stored ones by 1 − momentum; else the stored ones count. Only slope and bias learn, and
    with `frozen` nothing does. Without `frozen` backward counts the statistics as the batch's own in the TEST phase
    too, as the fork's code does; with `true_gradient` they are constants there.

    The form of PSPNet's first nets is read too: `moving_average: true` with scale_filler and shift_filler in place of
    slope_filler and bias_filler, and `decay` for 1 − momentum.
    """

    tops = 1
    has_true_gradient = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.bn_param
        self.eps, self.frozen = param.eps, param.frozen
        self.share = param.decay if param.moving_average else 1 - param.momentum
        slope, bias = (
            (param.scale_filler, param.shift_filler)
            if param.moving_average
            else (param.slope_filler, param.bias_filler)
        )
        self.running = bool(self.phase) or self.frozen
        variance = caffe_pb2.FillerParameter(value=float(self.frozen))
        self._set_up_channels(bottom, slope, bias, caffe_pb2.FillerParameter(), variance)
        while len(self.param.param) < 4:
            self.param.param.add()
        for i in range(0 if self.frozen else 2, 4):
            self.param.param[i].lr_mult = self.param.param[i].decay_mult = 0

    def running_statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(mean, variance) of each channel over the batches so far."""
        return self._values(2), self._values(3)

    def can_fold(self, shape: tuple[int, ...]) -> bool:
        """Whether the stored statistics are used."""
        return self.running

    def linear(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(factor, shift) of each channel with stored statistics, in double precision."""
        mean, variance = self.running_statistics()
        factor = self._values(0).double() * (variance.double() + self.eps).rsqrt()
        return factor, self._values(1).double() - mean.double() * factor

    def blobs_of_module(self, tensor: Callable[[str], np.ndarray]) -> list[np.ndarray]:
        """Values for `blobs` from those of a torch.nn.BatchNorm2d."""
        return [tensor(name) for name in ('weight', 'bias', 'running_mean', 'running_var')]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = self._keep_input(bottom, top)
        if self.running:
            mean, variance = self.running_statistics()
            y, _, _ = _aten.native_batch_norm(x, self._values(0), self._values(1), mean, variance, False, 0.0, self.eps)
            self._mean, self._factor = mean.clone(), variance.add(self.eps).rsqrt_()
        else:
            y, mean, variance = self._of_batch(x)
            for blob, value in zip(self.blobs[2:], (mean, variance)):
                with blob.changing() as average:
                    average.lerp_(value.reshape(blob.shape), self.share)
        top[0].tensor = y

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not bottom[0].count:  # the kernel divides by the number of positions
            return
        learns = [not self.frozen and needed for needed in self.param_propagate_down[:2]]
        constant = self.frozen or (self.running and self.true_gradient)
        moments = self.running_statistics() if constant else None
        dx, *rest = self._gradients(top[0].grad, [propagate_down[0], *learns], moments)
        if propagate_down[0]:
            bottom[0].grad = dx
        for blob, grad, needed in zip(self.blobs, rest, learns):
            if needed and grad is not None:
                blob.add_grad(grad.reshape(blob.shape))


@register('BN', when=is_segnet_bn)
class SegNetBN(_Normalisation):
    """y = scale · x̂ + shift with the batch's statistics in both phases and eps 1e-9, of SegNet's fork.

    Blobs: scale and shift, (1, C, 1, 1). Further tops receive mean and variance of the batch. `bn_mode: INFERENCE`
    gives y = scale · x + shift. As in the fork's code the parameters' gradients overwrite what earlier passes left;
    with `true_gradient` they add up.
    """

    tops = (1, 3)
    eps = SEGNET_EPS
    has_true_gradient = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.bn_param
        self.is_fixed = param.bn_mode == param.INFERENCE
        if self.is_fixed and len(top) > 1:
            self.error('has tops for the statistics of its batch, expected one top with bn_mode: INFERENCE')
        self._set_up_channels(bottom, param.scale_filler, param.shift_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        for blob in top[1:]:
            blob.reshape(1, self.channels, 1, 1)

    def can_fold(self, shape: tuple[int, ...]) -> bool:
        """Whether it uses no statistics."""
        return self.is_fixed

    def linear(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(scale, shift) of each channel in double precision."""
        return self._values(0).double(), self._values(1).double()

    def _unit_moments(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean 0 and the variance with which eps makes a deviation of 1."""
        return x.new_zeros(self.channels), x.new_full((self.channels,), 1 - self.eps)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = self._keep_input(bottom, top)
        if self.is_fixed:
            moments = self._unit_moments(x)
            y, self._mean, self._factor = _aten.native_batch_norm(
                x, self._values(0), self._values(1), *moments, False, 0.0, self.eps
            )
        else:
            y, mean, variance = self._of_batch(x)
            moments = mean, variance
        top[0].tensor = y
        for blob, value in zip(top[1:], moments):
            blob.tensor = value.reshape(blob.shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not bottom[0].count:
            return
        moments = self._unit_moments(self._x) if self.is_fixed else None
        dx, *rest = self._gradients(top[0].grad, [propagate_down[0], *self.param_propagate_down], moments)
        if propagate_down[0]:
            bottom[0].grad = dx
        for blob, grad, needed in zip(self.blobs, rest, self.param_propagate_down):
            if needed and grad is not None:
                if not self.true_gradient:
                    blob.clear_grad()
                blob.add_grad(grad.reshape(blob.shape))
