"""Layers that count their own forwards (lambda, alpha), moved to where a continued training has to start.

The counters are not part of a solver state: without this, lambda would start from its base again.
"""

from sphereslim.inputs import copy_of


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
