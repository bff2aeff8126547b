"""Layers that compute with weights and biases in few bits (Vitis AI)."""

from typing import TYPE_CHECKING

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support import fixed_point
from caffe.proto.caffe_pb2 import FixedParameter

if TYPE_CHECKING:
    from caffe.layers.support.registry import Layer as Base
else:
    Base = object

_POSITIONS = {
    FixedParameter.OVER_FLOW: fixed_point.largest_position,
    FixedParameter.DIFF_S: fixed_point.nearest_position,
}


class FixedWeights(Base):
    """A layer of another type whose forward takes each parameter rounded to `bit_width` bits.

    Each parameter has a position of its own, found anew in each forward: by `fixed_method: OVER_FLOW` the largest at
    which nothing leaves the range, by DIFF_S the one with the least squared error. Backward is that of the other type
    with the weights as they are: rounding counts as the identity. `enable: false` computes without rounding.
    """

    def check_fixed(self) -> None:
        """CaffeError unless its fixed_param is one for weights."""
        param = self.param.fixed_param
        if param.bit_width < 1:
            self.error(f'bit_width is {param.bit_width}, expected at least 1')
        if param.fixed_method not in _POSITIONS:
            method = FixedParameter.FixedMethod.Name(param.fixed_method)
            self.error(f'fixed_method is {method}, expected OVER_FLOW or DIFF_S for weights')

    def used(self, blob: Blob) -> torch.Tensor:
        """What forward takes of a parameter."""
        param, values = self.param.fixed_param, blob.tensor
        if not param.enable:
            return values
        position = _POSITIONS[param.fixed_method](values, param.bit_width)
        return fixed_point.rounded(values, param.bit_width, position)

    def can_fold(self, shape: tuple[int, ...]) -> bool:
        """Never: rounding comes before anything is multiplied in."""
        return False
