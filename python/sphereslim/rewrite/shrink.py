"""Fewer filters: every convolution but the last ones at a share of its width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sphereslim.channels.groups import Group, Groups
from sphereslim.channels.surgery import prune_prototxt
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError


def shrink(net: caffe_pb2.NetParameter, share: float = 0.5, keep_last: int = 2) -> caffe_pb2.NetParameter:
    """The net whose convolutions, except the last `keep_last` of one group, have `share` of their filters (at least 1).

    Depthwise convolutions follow what they read, and what a residual sum ties to one of the last keeps its width too.
    """
    return shrink_alike([net], share, keep_last)[0]


def shrink_alike(
    nets: Sequence[caffe_pb2.NetParameter], share: float = 0.5, keep_last: int = 2
) -> list[caffe_pb2.NetParameter]:
    """Forms of one net, such as train and deploy, by `shrink`: what is an output of one keeps its width in all."""
    if not 0 < share <= 1:
        raise SlimError(f'share {share}: expected above 0 and at most 1')
    plain = [
        layer.name for layer in nets[0].layer if layer.type == 'Convolution' and layer.convolution_param.group == 1
    ]
    last = set(plain[len(plain) - keep_last :])
    groups = Groups(*nets)
    kept = {
        group.name: _kept_units(groups, group, share)
        for group in groups.prunable()
        if last.isdisjoint(group.makers) and not set(plain).isdisjoint(group.makers)
    }
    return prune_prototxt(nets, kept, groups)


def _kept_units(groups: Groups, group: Group, share: float) -> np.ndarray:
    """The first units of each maker, so many that it keeps `share` of its filters.

    Makers with few filters choose first: those that a Concat joins each lose their share before the layer that a sum
    ties to all of them.
    """
    made = sorted((groups.unit_of[groups.trace.made[maker].ids] for maker in group.makers), key=len)
    kept, seen = np.zeros(group.size, bool), np.zeros(group.size, bool)
    for units in made:
        wanted = max(1, round(share * len(units))) - kept[units].sum()
        kept[units[~seen[units]][: max(0, wanted)]] = True
        seen[units] = True
    return np.flatnonzero(kept)
