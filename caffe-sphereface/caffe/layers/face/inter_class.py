"""InterClass: the term of SphereFace+ that spreads classes over the sphere (Liu et al. 2018)."""

from math import prod

import torch

from caffe.blobs.blob import Blob
from caffe.blobs.number import Number
from caffe.layers.face.hyperspherical_energy import Energy
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.layers.support.row_lookup import take_rows
from caffe.proto.caffe_pb2 import InterClassParameter


@register('InterClass')
class InterClass(Layer):
    """A distance between the weight rows wᵢ of classes, for the classes in the batch.

    Bottoms: features (M, …), of which only the width counts, and labels (M). With w̄ the mean row (of unit length with
    `normalize`): AMONG gives D = 1/N · Σᵢ Σₘ |wᵢ − w_yₘ|², MEAN gives 1 − 1/M · Σₘ w̄·w_yₘ. The gradient goes to the
    weights only and is scaled by α, which is 0 up to iteration alpha_start_iter and grows at each alpha_stepvalue.

    MHE gives the hyperspherical energy of all rows (Liu et al., NeurIPS 2018), the mean over all pairs, and MHE_BATCH
    that of the rows in the batch against all others; `power` is its s (0, 1 or 2), `half_space` counts each row's
    opposite as well. Their gradients are the true ones, through the rows' normalisation, times α and the top's diff.
    """

    bottoms = 2
    tops = 1
    loss = True
    no_diff_bottoms = (1,)
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.inter_class_param
        self.outputs = param.num_output
        if not self.outputs:
            self.error('num_output is 0, expected at least 1')
        self.from_axis = self.axis(param.axis, bottom[0])
        self.inputs = prod(bottom[0].shape[self.from_axis :])
        self.iteration, self._step = param.iteration, 0
        self._alpha = 0.0  # of which `alpha` is the Number
        self.numbers = (self.alpha,) = (Number(),)
        self._energy = self._make_energy(param) if param.type in (param.MHE, param.MHE_BATCH) else None
        add_parameter(self, (self.outputs, self.inputs), param.weight_filler)

    def _make_energy(self, param: InterClassParameter) -> Energy:
        if param.power > 2:
            self.error(f'power is {param.power}, expected 0, 1 or 2')
        if self.outputs < 2:
            self.error('num_output is 1, expected at least 2 for an energy between rows')
        return Energy(param.power, param.half_space)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        if prod(shape[self.from_axis :]) != self.inputs:
            self.error(f'bottom of shape {shape} has other inputs than the {self.inputs} of the weights')
        rows = prod(shape[: self.from_axis])
        if bottom[1].count != rows:
            self.error(f'labels of shape {bottom[1].shape}, expected {rows} for features of shape {shape}')
        top[0].reshape()

    def advance(self) -> None:
        """Count one iteration and let α follow its schedule."""
        param = self.param.inter_class_param
        self.iteration += 1
        if self.iteration == param.alpha_start_iter:
            self._alpha = param.alpha_start_value
        if self._step < len(param.alpha_stepvalue) and self.iteration == param.alpha_stepvalue[self._step]:
            self._alpha += param.alpha_step
            self._step += 1
        self.alpha.set(self._alpha)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, weight = self.param.inter_class_param, self.blobs[0].tensor
        self._label = bottom[1].tensor.long().reshape(-1)
        if self._energy:
            top[0].tensor = self._energy.value(weight, self._rows(weight))
            return
        self._mean = mean = weight.mean(0)
        if param.normalize:
            self._mean = mean / (mean.square().sum() + 1e-5).sqrt()
        self._own = take_rows(self, weight, self._label)
        if param.type == param.MEAN:
            top[0].tensor = self._distance = 1 - (self._own @ self._mean).mean()
        else:
            # Σᵢ |wᵢ − w|² / N = mean |wᵢ|² − 2 mean wᵢ · w + |w|²
            own = self._own
            each = weight.square().sum() / self.outputs + (own.square() - 2 * own * mean).sum(1)
            top[0].tensor = self._distance = each.sum()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].clear_grad()
        if not self.param_propagate_down[0] or self.alpha.is_zero:
            return
        param, count, alpha = self.param.inter_class_param, len(self._label), self.alpha.value
        if self._energy:
            weight = self.blobs[0].tensor
            self.blobs[0].add_grad(self._energy.gradient(weight, self._rows(weight)) * (alpha * top[0].grad))
            return
        if param.type == param.MEAN:
            rows = (self._mean * (alpha / count)).expand_as(self._own)
        else:
            rows = (self._own - self._mean) * (-4 * alpha / (count * self._distance.square() + 1e-5))
        self.blobs[0].add_rows(self._label, rows)

    def _rows(self, weight: torch.Tensor) -> torch.Tensor | None:
        """Indices of the rows whose energy counts: those of the batch, or None for all."""
        if self.param.inter_class_param.type == self.param.inter_class_param.MHE:
            return None
        take_rows(self, weight, self._label)  # refuses labels that are no row
        return self._label
