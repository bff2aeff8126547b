"""The classifier of a train net, found from its connections, set to a number of people."""

from sphereslim.errors import SlimError
from sphereslim.net.messages import copy_of

_PARAM = {
    'MarginInnerProduct': 'margin_inner_product_param',
    'InnerProduct': 'inner_product_param',
    'InterClass': 'inter_class_param',
}
_LOSSES = ('SoftmaxWithLoss', 'Accuracy', 'MultinomialLogisticLoss', 'HingeLoss')


def with_classes(net, people):
    """The net with the layers that make one number a class set to `people` classes; SlimError where there is none.

    They are the products whose output a loss holds against labels, and the layers that share a parameter with them.
    """
    result = copy_of(net)
    judged = {layer.bottom[0] for layer in result.layer if layer.type in _LOSSES}
    heads = [layer for layer in result.layer if layer.type in _PARAM and judged.intersection(layer.top)]
    shared = {spec.name for layer in heads for spec in layer.param if spec.name}
    heads += [
        layer
        for layer in result.layer
        if layer.type in _PARAM and layer not in heads and shared.intersection(spec.name for spec in layer.param)
    ]
    if not heads:
        raise SlimError(f"net '{net.name}': has no inner product whose output a loss judges, expected a classifier")
    for layer in heads:
        getattr(layer, _PARAM[layer.type]).num_output = people
    return result
