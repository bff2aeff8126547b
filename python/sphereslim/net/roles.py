"""Which layers are data, network, classifier and loss, told from how they are connected, never from their names."""

from __future__ import annotations

from collections.abc import Sequence

from sphereslim.engine import caffe, caffe_pb2
from sphereslim.net.inputs import is_data
from sphereslim.net.layer_types import layer_type

DATA, NETWORK, CLASSIFIER, LOSS = 'data', 'network', 'classifier', 'loss'


def opened_layers(net: caffe_pb2.NetParameter, opened: caffe.Net) -> list[caffe_pb2.LayerParameter]:
    """The LayerParameters of a net, in its order, that the `caffe.Net` of it has in its phase."""
    present = set(opened._layer_names)
    return [layer for layer in net.layer if layer.name in present]


def first_output(layers: Sequence[caffe_pb2.LayerParameter]) -> tuple[str, caffe_pb2.LayerParameter]:
    """(blob, layer that makes it) of the first output in pycaffe's order: by name, of those that no layer reads."""
    makers: dict[str, caffe_pb2.LayerParameter] = {}
    for layer in layers:
        for bottom in layer.bottom:
            makers.pop(bottom, None)
        makers.update(dict.fromkeys(layer.top, layer))
    blob = min(makers)
    return blob, makers[blob]


def parts(layers: Sequence[caffe_pb2.LayerParameter], opened: caffe.Net) -> dict[str, str]:
    """{layer name: DATA, NETWORK, CLASSIFIER or LOSS} for LayerParameters in net order and the `caffe.Net` of them.

    A classifier is an inner product that reads labels itself (MarginInnerProduct) or whose output reaches, through
    layers without parameters, a layer that reads labels or a Softmax. A loss is a layer with a loss weight, and
    everything that reads nothing but labels and what a classifier or loss made.
    """
    labels = _labels(layers, opened)
    kinds, late = {}, set(labels)
    for index, layer in enumerate(layers):
        kind = _part(layers, index, opened, labels, late)
        kinds[layer.name] = kind
        if kind in (CLASSIFIER, LOSS):
            late.update(layer.top)
    return kinds


def _part(
    layers: Sequence[caffe_pb2.LayerParameter], index: int, opened: caffe.Net, labels: set[str], late: set[str]
) -> str:
    layer = layers[index]
    if is_data(layer):
        return DATA
    if any(opened.blob_loss_weights.get(top) for top in layer.top) or (layer.bottom and late.issuperset(layer.bottom)):
        return LOSS
    if _can_classify(layer) and (labels.intersection(layer.bottom) or _is_judged(layers, index, opened, labels)):
        return CLASSIFIER
    return NETWORK


def _can_classify(layer: caffe_pb2.LayerParameter) -> bool:
    kind = layer_type(layer)
    return kind.sums and kind.per_class


def _labels(layers: Sequence[caffe_pb2.LayerParameter], opened: caffe.Net) -> set[str]:
    """Blobs of data layers with one number per picture."""
    tops = [top for layer in layers if is_data(layer) for top in layer.top]
    return {top for top in tops if opened.blobs[top].count == opened.blobs[top].data.shape[0]}


def _is_judged(layers: Sequence[caffe_pb2.LayerParameter], index: int, opened: caffe.Net, labels: set[str]) -> bool:
    """Whether what a layer makes is held against labels, or turned into probabilities, with no parameters between."""
    reached = set(layers[index].top)
    for layer in layers[index + 1 :]:
        if not reached.intersection(layer.bottom):
            continue
        if layer.name in opened.params:
            reached.difference_update(layer.top)
        elif labels.intersection(layer.bottom) or layer.type == 'Softmax':
            return True
        else:
            reached.update(layer.top)
    return False
