"""InnerDistance: distances of features from learned centres."""

from math import prod

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.layers.support.row_lookup import take_rows


@register('InnerDistance')
class InnerDistance(Layer):
    """y[m, n] = |xₘ − wₙ|², or the sum of absolute differences with distance_type L1 (caffe-windows).

    Bottoms: features (M, …), then centres in place of the learned ones (num_output, inputs), then labels (M).
    `normalize` divides the learned centres in place by their L2 norm (1e-6 under the root) before use; with
    `update_center_only` a centre has a gradient from items of its label alone. bias_term and transpose have no effect.
    L1's gradients have brackets missing in the fork's code: dw = dy · [w > x] − [w < x], and dx likewise, summed. With
    `true_gradient` it is dy · sign(w − x).
    """

    bottoms = (1, 3)
    tops = 1
    no_diff_bottoms = (2,)
    kept = ()
    reads_back = ('bottom',)
    has_true_gradient = True
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.inner_distance_param
        if param.distance_type not in ('L1', 'L2'):
            self.error(f"distance_type is '{param.distance_type}', expected L1 or L2")
        if param.update_center_only and len(bottom) < 3:
            self.error('has update_center_only, expected labels as its third bottom')
        self.from_axis = self.axis(param.axis, bottom[0])
        self.inputs = prod(bottom[0].shape[self.from_axis :])
        if len(bottom) == 1:
            if not param.num_output:
                self.error('num_output is 0, expected at least 1')
            add_parameter(self, (param.num_output, self.inputs), param.weight_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, centres = bottom[0].shape, self._centres(bottom)
        if prod(shape[self.from_axis :]) != self.inputs or centres.count % max(1, self.inputs):
            self.error(f'bottom of shape {shape} does not fit centres of shape {centres.shape}')
        rows = prod(shape[: self.from_axis])
        if len(bottom) > 2 and bottom[2].count != rows:
            self.error(f'labels of shape {bottom[2].shape}, expected {rows} for features of shape {shape}')
        self.outputs = centres.count // max(1, self.inputs)
        top[0].reshape(*shape[: self.from_axis], self.outputs)

    def _centres(self, bottom: list[Blob]) -> Blob:
        return bottom[1] if len(bottom) > 1 else self.blobs[0]

    def _operands(self, bottom: list[Blob]) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (M, inputs) and centres (N, inputs)."""
        centres = self._centres(bottom).tensor
        return bottom[0].tensor.reshape(-1, self.inputs), centres.reshape(self.outputs, self.inputs)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.inner_distance_param
        if param.normalize and len(bottom) == 1:
            with self.blobs[0].changing() as rows:
                rows.div_((rows.square().sum(1, keepdim=True) + 1e-6).sqrt_())
        x, centres = self._operands(bottom)
        if param.update_center_only:
            take_rows(self, centres, bottom[2].tensor.long().reshape(-1))  # refuses labels that are no centre
        if param.distance_type == 'L1':
            y = torch.cdist(x, centres, 1)
        else:
            y = torch.cdist(x, centres, 2, 'donot_use_mm_for_euclid_dist').square_()
        top[0].tensor = y.reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if len(bottom) > 2:
            self.refuse_gradient(propagate_down, 2, 'labels')
        x, centres = self._operands(bottom)
        dy = top[0].grad.reshape(len(x), self.outputs)
        own = dy
        if self.param.inner_distance_param.update_center_only:
            label = bottom[2].tensor.long().reshape(-1, 1)
            own = torch.zeros_like(dy).scatter_(1, label, dy.gather(1, label))
        gradient = _of_absolute if self.param.inner_distance_param.distance_type == 'L1' else _of_squares
        if len(bottom) == 1 and self.param_propagate_down[0]:
            self.blobs[0].add_grad(gradient(own.t(), centres, x, self.true_gradient))
        elif len(bottom) > 1 and propagate_down[1]:
            bottom[1].grad = gradient(own.t(), centres, x, self.true_gradient).reshape(bottom[1].shape)
        if propagate_down[0]:
            bottom[0].grad = gradient(dy, x, centres, self.true_gradient).reshape(bottom[0].shape)


def _of_squares(dy: torch.Tensor, a: torch.Tensor, b: torch.Tensor, true_gradient: bool) -> torch.Tensor:
    """The gradient of a (M, K) through Σ (a − b)², dy (M, N)."""
    return torch.addmm(dy.sum(1, keepdim=True) * a, dy, b, alpha=-1).mul_(2)


def _of_absolute(dy: torch.Tensor, a: torch.Tensor, b: torch.Tensor, true_gradient: bool) -> torch.Tensor:
    """The gradient of a (M, K) through Σ |a − b|, dy (M, N), row by row of a."""
    rows = []
    for row, weights in zip(a, dy):
        above, below = (row > b).to(b.dtype), (row < b).to(b.dtype)
        rows.append(weights @ (above - below) if true_gradient else weights @ above - below.sum(0))
    return torch.stack(rows) if rows else torch.zeros_like(a)
