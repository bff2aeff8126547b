"""Embed: a learned vector for each index."""

from caffe.blobs.blob import Blob
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.layers.support.row_lookup import take_rows


@register('Embed')
class Embed(Layer):
    """Rows of the weights (input_dim, num_output), chosen by the bottom's whole numbers, plus a bias."""

    bottoms = 1
    tops = 1
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.embed_param
        if not param.num_output or not param.input_dim:
            self.error(f'num_output is {param.num_output} and input_dim {param.input_dim}, expected at least 1')
        add_parameter(self, (param.input_dim, param.num_output), param.weight_filler)
        if param.bias_term:
            add_parameter(self, (param.num_output,), param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape, self.param.embed_param.num_output)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._index = bottom[0].tensor.reshape(-1).long()
        y = take_rows(self, self.blobs[0].tensor, self._index)
        if len(self.blobs) > 1:
            y += self.blobs[1].tensor
        top[0].tensor = y.reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 0, 'indices')
        dy = top[0].grad.reshape(-1, self.param.embed_param.num_output)
        if self.param_propagate_down[0]:
            self.blobs[0].add_rows(self._index, dy)
        if len(self.blobs) > 1 and self.param_propagate_down[1]:
            self.blobs[1].add_grad(dy.sum(0))
