"""Which layers are data, network, classifier and loss, told from how they are connected, never from their names."""

from sphereslim.net.inputs import is_data
from sphereslim.net.layer_types import layer_type

DATA, NETWORK, CLASSIFIER, LOSS = 'data', 'network', 'classifier', 'loss'


def opened_layers(net, opened):
    """The LayerParameters of a net, in its order, that the `caffe.Net` of it has in its phase."""
    present = set(opened._layer_names)
    return [layer for layer in net.layer if layer.name in present]


def first_output(layers):
    """(blob, layer that makes it) of the first output in the order of pycaffe: by name, of those that nobody reads."""
    makers = {}
    for layer in layers:
        for bottom in layer.bottom:
            makers.pop(bottom, None)
        makers.update(dict.fromkeys(layer.top, layer))
    blob = min(makers)
    return blob, makers[blob]


def parts(layers, opened):
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


def _part(layers, index, opened, labels, late):
    layer = layers[index]
    if is_data(layer):
        return DATA
    if any(opened.blob_loss_weights.get(top) for top in layer.top) or (layer.bottom and late.issuperset(layer.bottom)):
        return LOSS
    if _can_classify(layer) and (labels.intersection(layer.bottom) or _is_judged(layers, index, opened, labels)):
        return CLASSIFIER
    return NETWORK


def _can_classify(layer):
    kind = layer_type(layer)
    return kind.sums and kind.per_class


def _labels(layers, opened):
    """Blobs of data layers with one number per picture."""
    tops = [top for layer in layers if is_data(layer) for top in layer.top]
    return {top for top in tops if opened.blobs[top].count == opened.blobs[top].data.shape[0]}


def _is_judged(layers, index, opened, labels):
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
