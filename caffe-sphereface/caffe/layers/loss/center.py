"""CenterLoss: the distance of features from a learned centre of their class (Wen et al. 2016)."""

from math import prod

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.layers.support.row_lookup import take_rows


@register('CenterLoss')
class CenterLoss(Layer):
    """top = Σ |x − c_label|² / 2N over features (N, …) and labels (N), or Σ |x − c_label| / N with distance_type L1.

    Its weight is 0 unless the prototxt gives a `loss_weight`, which scales dx alone: centres (num_output, inputs) move
    by −Σ (x − c) / (1 + n) over the n items of their class whatever it is, so that lr_mult sets their pace
    (caffe-face). With `true_gradient` they have the gradient of the weighted loss.
    """

    bottoms = 2
    tops = 1
    auto_top = True
    no_diff_bottoms = (1,)
    kept = ('_label', '_slope')
    reads_back = ()
    has_true_gradient = True
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.center_loss_param
        if param.distance_type not in ('L1', 'L2'):
            self.error(f"distance_type is '{param.distance_type}', expected L1 or L2")
        if not param.num_output:
            self.error('num_output is 0, expected the number of classes')
        self.squares = param.distance_type == 'L2'
        self.from_axis = self.axis(param.axis, bottom[0])
        self.inputs = prod(bottom[0].shape[self.from_axis :])
        add_parameter(self, (param.num_output, self.inputs), param.center_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        rows, inputs = prod(shape[: self.from_axis]), prod(shape[self.from_axis :])
        if inputs != self.inputs:
            self.error(f'bottom of shape {shape} has {inputs} inputs, the centres have {self.inputs}')
        if bottom[1].count != rows:
            self.error(f'labels of shape {bottom[1].shape}, expected {rows} for features of shape {shape}')
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._label = bottom[1].tensor.long().reshape(-1)
        distance = bottom[0].tensor.reshape(-1, self.inputs) - take_rows(self, self.blobs[0].tensor, self._label)
        total = distance.square().sum() / 2 if self.squares else distance.abs().sum()
        self._slope = distance if self.squares else distance.sign()
        top[0].tensor = total / len(distance)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        dx = self._slope * (top[0].grad / len(self._slope))
        if self.param_propagate_down[0]:
            self.blobs[0].add_rows(self._label, -dx if self.true_gradient else self._slope / -self._shares())
        if propagate_down[0]:
            bottom[0].grad = dx.reshape(bottom[0].shape)

    def _shares(self) -> torch.Tensor:
        """1 + the number of items of the same class, (N, 1)."""
        ones = torch.ones(len(self._label), device=self.device)
        counts = torch.zeros(len(self.blobs[0].tensor), device=self.device).index_add_(0, self._label, ones)
        return 1 + counts.index_select(0, self._label).unsqueeze(1)
