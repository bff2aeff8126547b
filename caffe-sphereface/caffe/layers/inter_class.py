"""InterClass: the term of SphereFace+ that spreads classes over the sphere (Liu et al. 2018)."""

from math import prod

from caffe.blob import Blob
from caffe.fillers import fill
from caffe.layers.registry import Layer, register
from caffe.layers.rows import take_rows


@register('InterClass')
class InterClass(Layer):
    """A distance between the weight rows wᵢ of classes, for the classes in the batch.

    Bottoms: features (M, …), of which only the width counts, and labels (M). With w̄ the mean row (of unit length with
    `normalize`): AMONG gives D = 1/N · Σᵢ Σₘ |wᵢ − w_yₘ|², MEAN gives 1 − 1/M · Σₘ w̄·w_yₘ. The gradient goes to the
    weights only and is scaled by α, which is 0 up to iteration alpha_start_iter and grows at each alpha_stepvalue.
    """

    bottoms = 2
    tops = 1
    loss = True
    no_diff_bottoms = (1,)

    def setup(self, bottom, top):
        param = self.param.inter_class_param
        self.outputs = param.num_output
        if not self.outputs:
            self.error('num_output is 0, expected at least 1')
        self.from_axis = self.axis(param.axis, bottom[0])
        self.inputs = prod(bottom[0].shape[self.from_axis:])
        self.iteration, self.alpha, self._step = param.iteration, 0.0, 0
        self.blobs.append(Blob(self.outputs, self.inputs, name=self.name))
        fill(self.blobs[0], param.weight_filler, f"layer '{self.name}'")

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        if prod(shape[self.from_axis:]) != self.inputs:
            self.error(f'bottom of shape {shape} has other inputs than the {self.inputs} of the weights')
        rows = prod(shape[:self.from_axis])
        if bottom[1].count != rows:
            self.error(f'labels of shape {bottom[1].shape}, expected {rows} for features of shape {shape}')
        top[0].reshape()

    def _advance(self):
        """Count one iteration and let α follow its schedule."""
        param = self.param.inter_class_param
        self.iteration += 1
        if self.iteration == param.alpha_start_iter:
            self.alpha = param.alpha_start_value
        if self._step < len(param.alpha_stepvalue) and self.iteration == param.alpha_stepvalue[self._step]:
            self.alpha += param.alpha_step
            self._step += 1

    def forward(self, bottom, top):
        self._advance()
        param, weight = self.param.inter_class_param, self.blobs[0].tensor
        self._label = bottom[1].tensor.long().reshape(-1)
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

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].clear_grad()
        if not self.param_propagate_down[0] or not self.alpha:
            return
        param, count = self.param.inter_class_param, len(self._label)
        if param.type == param.MEAN:
            rows = (self._mean * (self.alpha / count)).expand_as(self._own)
        else:
            rows = (self._own - self._mean) * (-4 * self.alpha / (count * self._distance.square() + 1e-5))
        self.blobs[0].add_rows(self._label, rows)
