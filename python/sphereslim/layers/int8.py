"""Layers that compute in float32 what a reader in int8 computes: blobs rounded to 256 values, filters to 255.

They are layers of the project's own Caffe, which finds them by the entry point `caffe.layers`; a genuine one has them
not. Backward goes straight through the rounding (Bengio et al. 2013), so that `caffe train` fine-tunes a net for int8.
`caffe export -onnx` writes QuantizeLinear and DequantizeLinear for them.
"""

from __future__ import annotations

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.export.convolution import window_attributes
from caffe.export.graph import Graph, Shapes, parameter
from caffe.layers.product.inner_product import InnerProduct
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.layers.vision.convolution import Convolution
from caffe.proto.caffe_pb2 import FillerParameter

MOST = 127  # of the absolute values of a weight in int8


@register('FakeQuantize')
class FakeQuantize(Layer):
    """y = (clamp(round(x / s) + z, 0, steps) − z) · s with s = (high − low) / steps and z = round(−low / s).

    The blob is (low, high) with low ≤ 0 ≤ high. dx is dy where low ≤ x ≤ high, else 0. The gradient of the blob is that
    of learned steps (Esser et al. 2020): dy · (y − x) / (high − low) inside and dy outside.
    """

    bottoms = 1
    tops = 1
    in_place = True
    per_channel = True
    folds_as = 'activation'
    kept = ('_x',)
    reads_back = ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.fake_quantize_param
        if not param.low <= 0 <= param.high or param.low == param.high or not param.steps:
            self.error(
                f'low {param.low:g}, high {param.high:g} and steps {param.steps}: expected 0 between low and high'
            )
        add_parameter(self, (2,), FillerParameter())
        with self.blobs[0].changing() as span:
            span.copy_(torch.tensor([param.low, param.high]))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def grid(self) -> tuple[float, int]:
        """(step, the number of the value that stands for 0)."""
        low, high = self.blobs[0].tensor.tolist()
        low, high = min(low, 0.0), max(high, 0.0)
        steps = self.param.fake_quantize_param.steps
        step = max(high - low, 1e-12) / steps
        return step, round(-low / step)

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottom's."""
        step, zero = self.grid()
        steps = self.param.fake_quantize_param.steps
        return (x / step).round_().clamp_(-zero, steps - zero).mul_(step)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._x = (bottom[0].keep() if bottom[0] is top[0] else bottom[0].tensor) if self.needs_backward else None
        top[0].tensor = self.infer(bottom[0].tensor)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        x, dy = self._x, top[0].grad
        assert x is not None
        low, high = self.blobs[0].tensor
        if self.param_propagate_down[0]:
            share = dy * (self.infer(x) - x) / (high - low)
            below, above = x < low, x > high
            inside = share.masked_fill(below | above, 0).sum()
            self.blobs[0].add_grad(torch.stack([dy[below].sum() - inside, dy[above].sum() + inside]))
        if propagate_down[0]:
            bottom[0].grad = dy.masked_fill((x < low) | (x > high), 0)

    def to_onnx(self, graph: Graph, x: list[str], bottoms: Shapes, tops: Shapes) -> list[str]:
        """QuantizeLinear and DequantizeLinear of uint8."""
        step, zero = self.grid()
        graph.prefix = _short_prefix(graph)
        grid = graph.constant(step, 's'), graph.constant(zero, 'z', np.uint8)
        return [graph.op('DequantizeLinear', graph.op('QuantizeLinear', x[0], *grid), *grid)]


def rounded(weight: torch.Tensor, axis: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(whole numbers from −127 to 127, step of each filter) of weights whose filters lie along `axis`."""
    others = [i for i in range(weight.dim()) if i != axis]
    step = weight.abs().amax(others, keepdim=True).div_(MOST)
    step = torch.where(step > 0, step, 1.0)
    return (weight / step).round_(), step


def in_int8(weight: torch.Tensor, axis: int = 0) -> torch.Tensor:
    """The weights that the whole numbers of `rounded` stand for."""
    number, step = rounded(weight, axis)
    return number * step


@register('Int8Convolution')
class Int8Convolution(Convolution):
    """Convolution whose filters are each rounded to 255 values, up to their largest; dweight passes the rounding."""

    def used(self, blob: Blob) -> torch.Tensor:
        """The filters rounded, a bias as it is."""
        return in_int8(blob.tensor) if blob is self.blobs[0] else blob.tensor

    used_backward = used

    def linear(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(weight, bias) in double precision, the weight rounded."""
        _, bias = super().linear()
        return self.used(self.blobs[0]).double(), bias

    def macs(self, bottoms: Shapes, tops: Shapes) -> int:
        """Those of a convolution."""
        return int(np.prod(tops[0]) * np.prod(self.blobs[0].shape[1:]))

    def to_onnx(self, graph: Graph, x: list[str], bottoms: Shapes, tops: Shapes) -> list[str]:
        """Conv over dequantized filters; each of its one bottom."""
        weights = _int8_constants(self, graph, x[0])
        return [graph.op('Conv', x[0], *weights, group=self.group, **window_attributes(self, bottoms[0]))]


@register('Int8InnerProduct')
class Int8InnerProduct(InnerProduct):
    """InnerProduct whose rows of weights are each rounded to 255 values, up to their largest."""

    bottoms = (1, 1)

    def used(self, blob: Blob) -> torch.Tensor:
        """The rows of weights rounded, a bias as it is."""
        return in_int8(blob.tensor, int(self.transpose)) if blob is self.blobs[0] else blob.tensor

    used_backward = used

    def linear(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(weight, bias) in double precision, the weight rounded."""
        weight, bias = super().linear()
        return in_int8(weight), bias

    def macs(self, bottoms: Shapes, tops: Shapes) -> int:
        """Those of an inner product."""
        return int(np.prod(tops[0])) * self.inputs

    def to_onnx(self, graph: Graph, x: list[str], bottoms: Shapes, tops: Shapes) -> list[str]:
        """Gemm over dequantized rows."""
        if self.from_axis != 1:
            self.error(f'works along axis {self.from_axis}, expected 1 for ONNX in int8')
        grid = _grid_of(self, graph, x[0])
        flat = x[0]
        if len(bottoms[0]) != 2:
            rows = graph.reshape(flat, (bottoms[0][0], self.inputs))
            flat = graph.op('DequantizeLinear', graph.op('QuantizeLinear', rows, *grid), *grid)
        weights = _int8_constants(self, graph, flat, int(self.transpose))
        return [graph.op('Gemm', flat, *weights, transB=int(not self.transpose))]


def _short_prefix(graph: Graph) -> str:
    """A prefix of names for what belongs to one layer: its own name, many times over, would be a tenth of the file."""
    return f'q{len(graph.nodes)}'


def _int8_constants(layer: Layer, graph: Graph, x: str, axis: int = 0) -> list[str]:
    """The names of the weight, from int8, and of the bias where there is one, from int32 at the step of x · weight."""
    number, step = rounded(layer.blobs[0].tensor, axis)
    values, steps = (tensor.detach().cpu().numpy() for tensor in (number, step.reshape(-1)))
    graph.prefix = _short_prefix(graph)
    grid = [graph.constant(steps, 's')]
    if values.ndim == 2:  # onnxruntime's QGemm asks for it
        grid.append(graph.constant(np.zeros(len(steps)), 'z', np.int8))
    names = [graph.op('DequantizeLinear', graph.constant(values, 'w', np.int8), *grid, axis=axis)]
    if len(layer.blobs) > 1:
        product = steps * graph.value_of(_grid_of(layer, graph, x)[0])
        bias = np.rint(parameter(layer.blobs[1]).astype(np.float64) / product).clip(-(2**31), 2**31 - 1)
        names.append(
            graph.op('DequantizeLinear', graph.constant(bias, 'b', np.int32), graph.constant(product, 'p'), axis=0)
        )
    graph.prefix = layer.name
    return names


def _grid_of(layer: Layer, graph: Graph, x: str) -> tuple[str, str]:
    """The names of the step and of the zero of a value that DequantizeLinear made."""
    node = graph.maker(x)
    if node is None or node.op_type != 'DequantizeLinear':
        layer.error('reads a blob that is not in int8, expected FakeQuantize before it')
    return node.input[1], node.input[2]
