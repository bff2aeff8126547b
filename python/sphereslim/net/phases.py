"""Which layers a net has in a phase and under a NetState's stages, as their rules (`include`, `exclude`) say.

A stage of a NetState is a `net_stage` here: a stage by itself is one training of a run, with a folder of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.messages import copy_of

TRAIN, TEST = 0, 1  # caffe.TRAIN, caffe.TEST


def with_net_stages(net: caffe_pb2.NetParameter, net_stages: Sequence[str]) -> caffe_pb2.NetParameter:
    """The net as it is in these stages, or else in those of its own `state`, which every Caffe opens it in.

    Layers that are there in neither phase are left out. SlimError for a stage that no rule of the net names.
    """
    named = {stage for rule in _rules(net) for stage in (*rule.stage, *rule.not_stage)}
    for stage in net_stages:
        if stage not in named:
            known = ', '.join(sorted(named)) or 'none, as no rule names a stage'
            raise SlimError(f"net '{net.name}': no stage '{stage}', expected some of: {known}")
    net_stages = net_stages or net.state.stage
    if not net_stages:
        return net
    result = copy_of(net)
    result.state.stage[:] = net_stages
    del result.layer[:]
    result.layer.extend(
        layer for layer in net.layer if any(_is_included(layer, phase, set(net_stages)) for phase in (TRAIN, TEST))
    )
    return result


def states(net: caffe_pb2.NetParameter) -> list[tuple[int, tuple[str, ...]]]:
    """[(phase, stages)] in which a NetParameter is a whole net: every blob that a layer reads is made by one before it.

    Both phases where rules tell them apart, else TEST alone; the stages of the net's own `state`, or else none, and
    those that its rules name. All of these where the net is whole in none of them.
    """
    rules = list(_rules(net))
    asked = [tuple(net.state.stage)] if net.state.stage else [(), *_named(rules)]
    tried = [(phase, net_stages) for net_stages in asked for phase in ((TRAIN, TEST) if rules else (TEST,))]
    return [state for state in tried if _is_whole(layers_in(net, *state))] or tried


def layers_in(
    net: caffe_pb2.NetParameter, phase: int, net_stages: Iterable[str] | None = None
) -> list[caffe_pb2.LayerParameter]:
    """The LayerParameters that a net has in a phase and under `net_stages`, by default those of its `state`."""
    named = set(net.state.stage if net_stages is None else net_stages)
    return [layer for layer in net.layer if _is_included(layer, phase, named)]


def reads_own_data(net: caffe_pb2.NetParameter) -> bool:
    """Whether a net has no Input to be given pictures by, in the stages of its `state`."""
    return not any(layer.type == 'Input' for phase in (TRAIN, TEST) for layer in layers_in(net, phase))


def phase_of(net: caffe_pb2.NetParameter, wanted: int) -> int:
    """The phase `wanted`, or the other one where only in that the net is whole in the stages of its `state`."""
    other = TRAIN + TEST - wanted
    whole = [_is_whole(layers_in(net, phase)) for phase in (wanted, other)]
    return other if whole == [False, True] else wanted


def _rules(net: caffe_pb2.NetParameter) -> Iterator[caffe_pb2.NetStateRule]:
    for layer in net.layer:
        yield from (*layer.include, *layer.exclude)


def _named(rules: Sequence[caffe_pb2.NetStateRule]) -> list[tuple[str, ...]]:
    """The sets of stages, in order, that rules ask for together, and each of those they ask to be away."""
    together = [tuple(rule.stage) for rule in rules if rule.stage]
    return list(dict.fromkeys([*together, *((stage,) for rule in rules for stage in rule.not_stage)]))


def _is_included(layer: caffe_pb2.LayerParameter, phase: int, net_stages: set[str]) -> bool:
    if len(layer.include):
        return any(_meets(rule, phase, net_stages) for rule in layer.include)
    return not any(_meets(rule, phase, net_stages) for rule in layer.exclude)


def _meets(rule: caffe_pb2.NetStateRule, phase: int, net_stages: set[str]) -> bool:
    return (
        (not rule.HasField('phase') or rule.phase == phase)
        and rule.min_level <= 0
        and (not rule.HasField('max_level') or rule.max_level >= 0)
        and net_stages.issuperset(rule.stage)
        and net_stages.isdisjoint(rule.not_stage)
    )


def _is_whole(layers: Sequence[caffe_pb2.LayerParameter]) -> bool:
    made: set[str] = set()
    for layer in layers:
        if not made.issuperset(layer.bottom):
            return False
        made.update(layer.top)
    return bool(layers)
