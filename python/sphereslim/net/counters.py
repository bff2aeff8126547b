"""Layers that count their own forwards (lambda, alpha), moved to where a continued training has to start.

The counters are not part of a solver state: without this, lambda would start from its base again.
"""

from sphereslim.net.messages import copy_of


def advanced(net, forwards):
    """The net with every MarginInnerProduct and InterClass layer as it would stand after `forwards` more forwards."""
    result = copy_of(net)
    for layer in result.layer:
        if layer.type == 'MarginInnerProduct':
            layer.margin_inner_product_param.iteration += forwards
        elif layer.type == 'InterClass':
            _advance_alpha(layer.inter_class_param, forwards)
    return result


def _advance_alpha(param, forwards):
    """Alpha starts when the counter equals alpha_start_iter: a start that has passed moves to the next forward."""
    param.iteration += forwards
    passed = [step for step in param.alpha_stepvalue if step <= param.iteration]
    if param.alpha_start_iter <= param.iteration:
        param.alpha_start_iter = param.iteration + 1
        param.alpha_start_value += param.alpha_step * len(passed)
        left = [step for step in param.alpha_stepvalue if step > param.iteration]
        del param.alpha_stepvalue[:]
        param.alpha_stepvalue.extend(left)


def per_forward(net, forwards):
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
