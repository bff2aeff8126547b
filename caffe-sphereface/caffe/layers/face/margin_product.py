"""What the inner products with an angular margin share: their weights, their sizes and the schedule of λ."""

from __future__ import annotations

from math import prod

from caffe.blobs.blob import Blob
from caffe.blobs.number import Number
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer


class MarginProduct(Layer):
    """Bottoms: features (M, …) and labels (M). Tops: logits (M, N) and λ (1).

    The field `settings` of the layer's parameter holds num_output, the margin as `type`, axis, weight_filler and those
    of λ = max(base · (1 + gamma · iteration)^−power, lambda_min); each forward counts one iteration. The Numbers `mix`
    and `whole` are λ and 1 + λ.
    """

    no_capture = None
    settings: str

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = getattr(self.param, self.settings)
        self.outputs, self.margin, self.iteration = param.num_output, param.type + 1, param.iteration
        self.numbers = self.mix, self.whole = Number(), Number()
        self.from_axis = self.axis(param.axis, bottom[0])
        self.inputs = prod(bottom[0].shape[self.from_axis :])
        if not self.outputs:
            self.error('num_output is 0, expected at least 1')
        add_parameter(self, (self.outputs, self.inputs), param.weight_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        rows, inputs = prod(shape[: self.from_axis]), prod(shape[self.from_axis :])
        if inputs != self.inputs:
            self.error(f'bottom of shape {shape} has {inputs} inputs, the weights have {self.inputs}')
        if bottom[1].count != rows:
            self.error(f'labels of shape {bottom[1].shape}, expected {rows} for features of shape {shape}')
        top[0].reshape(*shape[: self.from_axis], self.outputs)
        if len(top) > 1:
            top[1].reshape(1)

    def advance(self) -> None:
        """Count one iteration and set its λ."""
        self.iteration += 1
        param = getattr(self.param, self.settings)
        mix = max(param.base * (1 + param.gamma * self.iteration) ** -param.power, param.lambda_min)
        self.mix.set(mix)
        self.whole.set(1 + mix)
