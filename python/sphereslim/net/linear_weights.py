"""Weights and bias of a convolution or inner product in a caffemodel, scaled and shifted per channel in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import layer_type
from sphereslim.net.weights import blob_array, blob_shape, fill_blob, is_legacy, set_blob_array

Array = npt.NDArray[np.float64]


class LinearWeights:
    """What one layer holds, of a type with the trait `takes_affine`.

    `weight` is (groups, outputs per group, inputs per group, taps), where the taps of an inner product are the places
    of each channel once `inputs` said how many channels it reads; `bias` is (outputs,), zeros where there is none.
    `layer` is the layer in the net, `stored` the one in the weights; `store` writes to both. SlimError where they do
    not belong together.
    """

    def __init__(self, layer: caffe_pb2.LayerParameter, stored: caffe_pb2.LayerParameter) -> None:
        self.layer, self._stored = layer, stored
        self._is_product, self._is_deconvolution = layer.type == 'InnerProduct', layer.type == 'Deconvolution'
        param = layer.inner_product_param if self._is_product else layer.convolution_param
        self._param = param
        if len(stored.blobs) < 1 + param.bias_term:
            raise SlimError(
                f"layer '{layer.name}': the weights hold {len(stored.blobs)} blobs, expected weights and bias"
            )
        self._shape = blob_shape(stored.blobs[0])
        self.weight = self._view(blob_array(stored.blobs[0]).astype(np.float64))
        outputs = self.weight.shape[0] * self.weight.shape[1]
        self.bias: Array = np.zeros(outputs)
        if param.bias_term:
            self.bias = blob_array(stored.blobs[1]).astype(np.float64).ravel()
        if self.bias.size != outputs:
            raise SlimError(f"layer '{layer.name}': the weights hold {self.bias.size} biases, expected {outputs}")

    def _view(self, values: Array) -> Array:
        """The stored values as (groups, outputs, inputs, taps)."""
        if self._is_product:
            matrix = values.reshape(-1, self._param.num_output) if self._param.transpose else values
            return (matrix.T if self._param.transpose else matrix).reshape(1, self._param.num_output, -1, 1)
        groups = self._shape[0] if self.layer.type == 'ConvolutionDepthwise' else self._param.group
        if len(self._shape) < 2 or self._shape[0] % groups:
            raise SlimError(f"layer '{self.layer.name}': the weights have shape {self._shape} in {groups} groups")
        view = values.reshape(groups, self._shape[0] // groups, self._shape[1], -1)
        return view.swapaxes(1, 2) if self._is_deconvolution else view

    def _stored_form(self) -> Array:
        """The inverse of `_view`."""
        if self._is_product:
            matrix = self.weight.reshape(self._param.num_output, -1)
            return (matrix.T if self._param.transpose else matrix).reshape(self._shape)
        weight = self.weight.swapaxes(1, 2) if self._is_deconvolution else self.weight
        return weight.reshape(self._shape)

    @property
    def outputs(self) -> int:
        """How many channels the layer makes."""
        return self.bias.size

    @property
    def filters(self) -> Array:
        """The weights as (outputs, weights of each)."""
        return self.weight.reshape(self.outputs, -1)

    def scale_outputs(self, factor: Array, shift: Array) -> None:
        """Make of each output y now factor · y + shift; both are (outputs,) or ()."""
        groups, outputs = self.weight.shape[:2]
        factor = np.broadcast_to(factor, self.outputs)
        self.weight = self.weight * factor.reshape(groups, outputs, 1, 1)
        self.bias = self.bias * factor + shift

    def scale_inputs(self, factor: Array, shift: Array) -> None:
        """Read of each input channel x now factor · x + shift; both are (channels,) or (), padding apart."""
        weight = self._by_channel(max(factor.size, shift.size))
        groups, _, inputs, _ = weight.shape
        factor, shift = (np.broadcast_to(a, groups * inputs).reshape(groups, 1, inputs, 1) for a in (factor, shift))
        self.bias = self.bias + (weight * shift).sum((2, 3)).ravel()
        self.weight = (weight * factor).reshape(self.weight.shape)

    def mix_outputs(self, basis: Array) -> None:
        """Make of the outputs y, of one group, now basisᵀ · y; `basis` is (outputs, outputs)."""
        self.weight = np.einsum('op,goit->gpit', basis, self.weight)
        self.bias = basis.T @ self.bias

    def mix_inputs(self, basis: Array) -> None:
        """Read of the input channels x, of one group, now basis · x; `basis` is (channels, channels)."""
        weight = self._by_channel(len(basis))
        self.weight = np.einsum('ip,goit->gopt', basis, weight).reshape(self.weight.shape)

    def reads(self, channels: int) -> bool:
        """Whether the layer can read so many channels."""
        groups, _, inputs, _ = self.weight.shape
        return inputs % channels == 0 if self._is_product else groups * inputs == channels

    def _by_channel(self, channels: int) -> Array:
        """`weight` whose third axis runs over channels, for an inner product too."""
        if not self._is_product or channels == 1:
            return self.weight
        return self.weight.reshape(1, self.outputs, channels, -1)

    def store(self) -> None:
        """Write weights and bias into both messages; a layer without a bias gets one where it is not zero."""
        set_blob_array(self._stored.blobs[0], self._stored_form())
        if self._param.bias_term:
            set_blob_array(self._stored.blobs[1], self.bias.reshape(blob_shape(self._stored.blobs[1])))
        elif self.bias.any():
            self._param.bias_term = True
            legacy = is_legacy(self._stored.blobs[0])
            bias = self.bias.reshape((1, 1, 1, -1) if legacy else (-1,))
            fill_blob(self._stored.blobs.add(), bias, legacy)


def takes_affine(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether a layer is of a type that `LinearWeights` takes."""
    return layer_type(layer).takes_affine
