"""Heads of a train net: the classifier, found from its connections, the margin and the inter-class term.

MarginInnerProduct and InterClass count their own forwards, for lambda and alpha. The counters are not part of a solver
state: a continued training has to set them (`advanced`), or lambda would start from its base again.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import layer_type
from sphereslim.net.messages import copy_of
from sphereslim.net.weights import blob_array, weight_layers


def with_classes(net: caffe_pb2.NetParameter, people: int) -> caffe_pb2.NetParameter:
    """The net with the layers that make one number per class set to `people` classes; SlimError where there is none.

    They are the `classifiers`, and the layers that share a parameter with them.
    """
    result = copy_of(net)
    heads = classifiers(result)
    shared = {spec.name for layer in heads for spec in layer.param if spec.name}
    heads += [
        layer
        for layer in result.layer
        if _is_per_class(layer) and layer not in heads and shared.intersection(spec.name for spec in layer.param)
    ]
    for layer in heads:
        getattr(layer, layer_type(layer).param).num_output = people
    return result


def classifiers(net: caffe_pb2.NetParameter) -> list[caffe_pb2.LayerParameter]:
    """The layers of a NetParameter whose output is held against labels by a loss or an accuracy; SlimError for none."""
    found = judged_layers(net)
    if not found:
        raise SlimError(f"net '{net.name}': has no inner product whose output a loss judges, expected a classifier")
    return found


def judged_layers(net: caffe_pb2.NetParameter) -> list[caffe_pb2.LayerParameter]:
    """As `classifiers`, of a net that may have none."""
    judged = {layer.bottom[0] for layer in net.layer if layer_type(layer).judge}
    return [layer for layer in net.layer if _is_per_class(layer) and judged.intersection(layer.top)]


def count_parameters(net: caffe_pb2.NetParameter, weights: caffe_pb2.NetParameter) -> int:
    """What the layers of a net learn, in a NetParameter of weights: without classifiers and the statistics of norms."""
    probabilities = {blob for layer in net.layer if layer.type == 'Softmax' for blob in layer.bottom}
    heads = {layer.name for layer in judged_layers(net)}
    heads |= {layer.name for layer in net.layer if _is_per_class(layer) and probabilities.intersection(layer.top)}
    held = weight_layers(weights)
    return sum(
        blob_array(blob).size
        for layer in net.layer
        if layer.name in held and layer.name not in heads
        for blob in held[layer.name].blobs[: layer_type(layer).first_statistic]
    )


def _is_per_class(layer: caffe_pb2.LayerParameter) -> bool:
    return layer_type(layer).per_class


def with_head(net: caffe_pb2.NetParameter, source: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """The net with its margin classifier replaced by that of `source`, and its inter-class term added.

    The layers read what the net's own classifier reads and write what it writes, so the loss stays connected.
    """
    own = [layer for layer in net.layer if layer.type == 'MarginInnerProduct']
    heads = [layer for layer in source.layer if layer_type(layer).counts_forwards]
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


def with_alpha(net: caffe_pb2.NetParameter, alpha: float) -> caffe_pb2.NetParameter:
    """The net with the strength of every inter-class term set to `alpha`."""
    result = copy_of(net)
    for layer in result.layer:
        if layer.type == 'InterClass':
            layer.inter_class_param.alpha_start_value = alpha
    return result


def classifier_rows(net: caffe_pb2.NetParameter, weights: caffe_pb2.NetParameter) -> npt.NDArray[Any]:
    """The weight rows (classes, features) of the net's margin classifier in a NetParameter of weights."""
    layers = weight_layers(weights)
    for layer in net.layer:
        if layer.type == 'MarginInnerProduct' and layer.name in layers:
            return blob_array(layers[layer.name].blobs[0])
    raise SlimError(f"net '{net.name}': the weights hold no MarginInnerProduct of it")


def _connected(head: caffe_pb2.LayerParameter, own: caffe_pb2.LayerParameter) -> caffe_pb2.LayerParameter:
    """A head layer that reads what `own` reads and, if it is the classifier, has its name and its first top."""
    result = copy_of(head)
    result.bottom[:] = own.bottom
    if head.type == 'MarginInnerProduct':
        result.name = own.name
        result.top[:] = own.top
    return result


def advanced(net: caffe_pb2.NetParameter, forwards: int) -> caffe_pb2.NetParameter:
    """The net with every MarginInnerProduct and InterClass layer as it would stand after `forwards` more forwards."""
    result = copy_of(net)
    for layer in result.layer:
        if layer.type == 'MarginInnerProduct':
            layer.margin_inner_product_param.iteration += forwards
        elif layer.type == 'InterClass':
            _advance_alpha(layer.inter_class_param, forwards)
    return result


def _advance_alpha(param: caffe_pb2.InterClassParameter, forwards: int) -> None:
    """Alpha starts when the counter equals alpha_start_iter: a start that has passed moves to the next forward."""
    param.iteration += forwards
    passed = [step for step in param.alpha_stepvalue if step <= param.iteration]
    if param.alpha_start_iter <= param.iteration:
        param.alpha_start_iter = param.iteration + 1
        param.alpha_start_value += param.alpha_step * len(passed)
        left = [step for step in param.alpha_stepvalue if step > param.iteration]
        del param.alpha_stepvalue[:]
        param.alpha_stepvalue.extend(left)


def with_falling_lambda(net: caffe_pb2.NetParameter, forwards: int) -> caffe_pb2.NetParameter:
    """The net whose MarginInnerProduct layers let lambda fall from its base to lambda_min in so many forwards.

    From lambda = base * (1 + gamma * n)^-power it sets gamma. SlimError for a head whose lambda cannot fall so far.
    """
    result = copy_of(net)
    for layer in result.layer:
        if layer.type == 'MarginInnerProduct':
            param = layer.margin_inner_product_param
            if not 0 < param.lambda_min < param.base or param.power <= 0:
                raise SlimError(
                    f"layer '{layer.name}': base {param.base:g}, lambda_min {param.lambda_min:g} and power "
                    f'{param.power:g}, expected 0 < lambda_min < base and a power above 0 for a lambda that falls'
                )
            param.gamma = ((param.base / param.lambda_min) ** (1 / param.power) - 1) / forwards
    return result


def per_forward(net: caffe_pb2.NetParameter, forwards: int) -> caffe_pb2.NetParameter:
    """The net with lambda and alpha as published, when an iteration takes several forwards (`iter_size`).

    The layers count forwards, the published figures count iterations: after k forwards an iteration, a counter k times
    as high has to mean the same.
    """
    result = copy_of(net)
    for layer in result.layer:
        if layer.type == 'MarginInnerProduct':
            layer.margin_inner_product_param.iteration *= forwards
            layer.margin_inner_product_param.gamma /= forwards
        elif layer.type == 'InterClass':
            param = layer.inter_class_param
            param.iteration *= forwards
            # the first forward of the iteration at which it was to start
            param.alpha_start_iter = (param.alpha_start_iter - 1) * forwards + 1
            param.alpha_stepvalue[:] = [(step - 1) * forwards + 1 for step in param.alpha_stepvalue]
    return result
