"""Which layers of a net multiply in int8, and which blobs are rounded for that."""

from __future__ import annotations

from collections.abc import Collection

from sphereslim.engine import caffe_pb2
from sphereslim.net.phases import TEST, layers_in

_KINDS = {
    'Convolution': 'Int8Convolution',
    'DepthwiseConvolution': 'Int8Convolution',
    'InnerProduct': 'Int8InnerProduct',
}
_PASSING = ('Flatten', 'Reshape', 'Split')  # besides maxima and dropout


def int8_type(layer: caffe_pb2.LayerParameter) -> str | None:
    """The type of the layer that computes in int8 what this one does; None where there is none."""
    param = layer.inner_product_param
    if len(layer.bottom) != 1 or len(layer.top) != 1 or param.axis != 1 or param.normalize:
        return None
    return _KINDS.get(layer.type)


def int8_layers(net: caffe_pb2.NetParameter) -> list[str]:
    """The names of the layers that can multiply in int8, in the net's order."""
    return [layer.name for layer in layers_in(net, TEST) if int8_type(layer)]


def rounded_blobs(net: caffe_pb2.NetParameter, layers: Collection[str], reader: str) -> dict[str, str]:
    """{blob: the blob whose range it has} of all that are rounded if these layers multiply in int8.

    The net is out of place. `reader` is 'ncnn', which rounds what those layers read, or 'onnxruntime', which rounds
    what they make too, unless it is an output, and adds, joins, and takes means and maxima in int8.
    """
    points = _Points(net, layers)
    if reader != 'ncnn':
        points.spread()
    order = [top for layer in net.layer for top in layer.top]
    return {blob: points.source(blob) for blob in order if blob in points.found}


class _Points:
    def __init__(self, net: caffe_pb2.NetParameter, layers: Collection[str]) -> None:
        self.net, self.layers = net, set(layers)
        self.readers: dict[str, list[caffe_pb2.LayerParameter]] = {}
        self.makers = {top: layer for layer in net.layer for top in layer.top}
        for layer in net.layer:
            for bottom in layer.bottom:
                self.readers.setdefault(bottom, []).append(layer)
        self.found = {layer.bottom[0] for layer in net.layer if layer.name in self.layers}

    def spread(self) -> None:
        """Add what int8 layers make, and whatever can be computed in int8 because its bottoms are rounded."""
        for layer in self.net.layer:
            if layer.name in self.layers:
                self._add(self._rectified(layer.top[0]))
        known = -1
        while known != len(self.found):
            known = len(self.found)
            for layer in self.net.layer:
                if _passes(layer) and layer.top[0] in self.found:
                    self.found.add(layer.bottom[0])
                if (_passes(layer) or _joins(layer)) and self.found.issuperset(layer.bottom):
                    self._add(layer.top[0])

    def source(self, blob: str) -> str:
        """The blob whose values a blob holds, or the largest ones of them."""
        maker = self.makers[blob]
        return self.source(maker.bottom[0]) if _passes(maker) and maker.bottom[0] in self.found else blob

    def _rectified(self, blob: str) -> str:
        """What a rectifier that alone reads a blob makes of it, else the blob: rounding can rectify."""
        readers = self.readers.get(blob, [])
        return readers[0].top[0] if len(readers) == 1 and _rectifies(readers[0]) else blob

    def _add(self, blob: str) -> None:
        if blob in self.readers:  # outputs of the net stay in float32
            self.found.add(blob)


def _rectifies(layer: caffe_pb2.LayerParameter) -> bool:
    slope = layer.relu_param.negative_slope if layer.type == 'ReLU' else layer.relu6_param.negative_slope
    return layer.type in ('ReLU', 'ReLU6') and not slope


def _passes(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether a layer's top holds values of its bottom and no others, but zeros."""
    maxima = layer.type == 'Pooling' and layer.pooling_param.pool == layer.pooling_param.MAX
    return len(layer.top) == 1 and (maxima or layer.type in (*_PASSING, 'Dropout', 'SeLuDropout'))


def _joins(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether onnxruntime computes a layer in int8: sums, joined channels and means."""
    param = layer.eltwise_param
    if layer.type == 'Eltwise':
        return param.operation == param.SUM and not any(c != 1 for c in param.coeff) and len(layer.bottom) == 2
    means = layer.type == 'Pooling' and layer.pooling_param.pool == layer.pooling_param.AVE
    return means or layer.type == 'Concat'
