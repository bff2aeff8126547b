"""FixedNeuron: what a layer gives, in few bits (Vitis AI)."""

from collections import Counter

from caffe.blobs.blob import Blob
from caffe.layers.support import fixed_point
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2
from caffe.proto.caffe_pb2 import FixedParameter

_POSITIONS = {
    FixedParameter.OVER_FLOW: fixed_point.largest_position,
    FixedParameter.DIFF_S: fixed_point.nearest_position,
    FixedParameter.DIFF_A: fixed_point.nearest_position,
    FixedParameter.DIFF_S_SIGMOID: fixed_point.nearest_position_behind_sigmoid,
}


@register('FixedNeuron')
class FixedNeuron(Layer):
    """y is x rounded to `bit_width` bits with the point at a position, halves upwards; dx = dy.

    Its one blob is the position, which solvers leave alone. TRAIN finds that of each batch, by `fixed_method` the
    largest without overflow or the one of the least squared error, and the blob is the one found most often so far,
    the smallest of several. OVER_FLOW rounds at the batch's own position, the other methods at the blob's, as TEST
    does. With `follow_data_layer` TRAIN rounds halves away from zero, and TEST cuts what lies behind the position.
    `enable: false` passes x on.
    """

    bottoms = 1
    tops = 1
    in_place = True
    per_channel = True
    kept = ()
    reads_back = ()
    no_capture = 'reads the range of its bottom'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self.param.fixed_param.bit_width < 1:
            self.error(f'bit_width is {self.param.fixed_param.bit_width}, expected at least 1')
        add_parameter(self, (1,), caffe_pb2.FillerParameter())
        if not self.param.param:
            self.param.param.add(lr_mult=0, decay_mult=0)
        elif self.param.param[0].lr_mult:
            self.error(f'param 0 has lr_mult {self.param.param[0].lr_mult}, expected 0 for a position')
        self._found: Counter[int] = Counter()

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def position(self) -> int:
        """Where TEST rounds."""
        value: float = self.blobs[0].tensor.item()
        return int(value // 1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, param = bottom[0].tensor, self.param.fixed_param
        if not param.enable:
            if bottom[0] is not top[0]:
                top[0].lend_data(x)
            return
        position = self.position() if self.phase else self._find(bottom[0])
        if not param.follow_data_layer:
            top[0].tensor = fixed_point.rounded_up(x, param.bit_width, position)
        elif self.phase:
            top[0].tensor = fixed_point.cut(x, position)
        else:
            top[0].tensor = fixed_point.rounded(x, param.bit_width, position)

    def _find(self, bottom: Blob) -> int:
        param = self.param.fixed_param
        found = _POSITIONS[param.fixed_method](bottom.tensor, param.bit_width)
        self._found[found] += 1
        usual = min(self._found, key=lambda position: (-self._found[position], position))
        with self.blobs[0].changing() as value:
            value.fill_(usual)
        return found if param.fixed_method == FixedParameter.OVER_FLOW else usual

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0] and bottom[0] is not top[0]:
            bottom[0].lend_grad(top[0].grad)
