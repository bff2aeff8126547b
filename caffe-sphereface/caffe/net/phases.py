"""Which layers a phase, level and set of stages include: NetStateRules."""

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


def filter_net(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A copy of a NetParameter with only the layers that its own `state` includes."""
    out = caffe_pb2.NetParameter()
    out.CopyFrom(net)
    del out.layer[:]
    for layer in net.layer:
        if layer.include and layer.exclude:
            raise CaffeError(f"layer '{layer.name}' ({layer.type}): has include and exclude rules, expected one kind")
        included = (
            any(_meets(net.state, rule) for rule in layer.include)
            if layer.include
            else not any(_meets(net.state, rule) for rule in layer.exclude)
        )
        if included:
            out.layer.add().CopyFrom(layer)
    return out


def _meets(state: caffe_pb2.NetState, rule: caffe_pb2.NetStateRule) -> bool:
    stages = set(state.stage)
    return not (
        (rule.HasField('phase') and rule.phase != state.phase)
        or (rule.HasField('min_level') and state.level < rule.min_level)
        or (rule.HasField('max_level') and state.level > rule.max_level)
        or not stages.issuperset(rule.stage)
        or stages.intersection(rule.not_stage)
    )
