"""Heads: the margin classifier and the inter-class term, moved from one train net onto another."""

from sphereslim.errors import SlimError
from sphereslim.net.messages import copy_of
from sphereslim.net.weights import blob_array, weight_layers

_HEAD_TYPES = ('MarginInnerProduct', 'InterClass')


def with_head(net, source):
    """The net with its margin classifier replaced by that of `source`, and its inter-class term added.

    The layers read what the net's own classifier reads and write what it writes, so the loss stays connected.
    """
    own = [layer for layer in net.layer if layer.type == 'MarginInnerProduct']
    heads = [layer for layer in source.layer if layer.type in _HEAD_TYPES]
    if len(own) != 1 or not heads:
        raise SlimError(f"nets '{net.name}' and '{source.name}': expected one MarginInnerProduct in each")
    result = copy_of(net)
    del result.layer[:]
    for layer in net.layer:
        if layer.type == 'MarginInnerProduct':
            result.layer.extend(_connected(head, layer) for head in heads)
        elif layer.type != 'InterClass':
            result.layer.add().CopyFrom(layer)
    return result


def with_alpha(net, alpha):
    """The net with the strength of every inter-class term set to `alpha`."""
    result = copy_of(net)
    for layer in result.layer:
        if layer.type == 'InterClass':
            layer.inter_class_param.alpha_start_value = alpha
    return result


def classifier_rows(net, weights):
    """The weight rows (classes, features) of the net's margin classifier in a NetParameter of weights."""
    layers = weight_layers(weights)
    for layer in net.layer:
        if layer.type == 'MarginInnerProduct' and layer.name in layers:
            return blob_array(layers[layer.name].blobs[0])
    raise SlimError(f"net '{net.name}': the weights hold no MarginInnerProduct of it")


def _connected(head, own):
    """A head layer that reads what `own` reads and, if it is the classifier, has its name and its first top."""
    result = copy_of(head)
    result.bottom[:] = own.bottom
    if head.type == 'MarginInnerProduct':
        result.name = own.name
        result.top[:] = own.top
    return result
