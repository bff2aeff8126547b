"""Fewer filters: every convolution but the last ones at a share of its width."""

from sphereslim.errors import SlimError
from sphereslim.groups import Groups
from sphereslim.inputs import copy_of


def shrink(net, share=0.5, keep_last=2):
    """The net whose convolutions, except the last `keep_last` of one group, have `share` of their filters (at least 1).

    Depthwise convolutions follow what they read, and what a residual sum ties to one of the last keeps its width too.
    """
    if not 0 < share <= 1:
        raise SlimError(f'share {share}: expected above 0 and at most 1')
    result = copy_of(net)
    convolutions = [layer for layer in result.layer if layer.type == 'Convolution']
    plain = [layer for layer in convolutions if layer.convolution_param.group == 1]
    last = {layer.name for layer in plain[len(plain) - keep_last:]}
    free = {name for group in Groups(net).prunable() if last.isdisjoint(group.makers) for name in group.makers}
    for layer in plain:
        if layer.name in free:
            layer.convolution_param.num_output = max(1, round(share * layer.convolution_param.num_output))
    _follow_depthwise(result)
    return result


def _follow_depthwise(net):
    """Depthwise convolutions get one filter for each channel that the convolution before them makes."""
    widths = {}
    for layer in net.layer:
        param = layer.convolution_param
        if layer.type == 'Convolution':
            if param.group > 1 and param.group == param.num_output and layer.bottom[0] in widths:
                param.group = param.num_output = widths[layer.bottom[0]]
            widths[layer.top[0]] = param.num_output
        elif len(layer.bottom) == 1 and layer.bottom[0] in widths:
            widths.update(dict.fromkeys(layer.top, widths[layer.bottom[0]]))
