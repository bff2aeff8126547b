"""Following channels through a net: who makes them, who carries them, who reads them.

Only the prototxt is needed, neither weights nor sizes; how flows pass a layer is said in `rules`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sphereslim.channels import fork_rules, weighted_rules  # noqa: F401  (register their rules)
from sphereslim.channels.rules import apply_rule
from sphereslim.channels.trace import Flow, Trace
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.phases import layers_in, states


def follow(*nets: caffe_pb2.NetParameter) -> Trace:
    """Follow the channels of NetParameters, as `read_net` gives them, in all their `states`; equal names: one layer."""
    result = Trace()
    for net in nets:
        _check(net)
        for state in states(net):
            _walk(result, layers_in(net, *state))
    _tie_shared(result)
    return result


def lone_channels(trace: Trace) -> dict[int, str]:
    """{channel id: reason} of those that are all there is of some blob, so that it would be left without any."""
    lone: dict[int, str] = {}
    for (layer, top), flow in trace.tops.items():
        if len(flow.ids) == 1:
            lone.setdefault(
                int(flow.ids[0]), f"'{layer}' ({trace.layers[layer].type}) makes blob '{top}' of one channel"
            )
    return lone


def _check(net: caffe_pb2.NetParameter) -> None:
    if len(net.layers):
        raise SlimError(
            f"net '{net.name}' is in the old form with `layers`, expected `layer`: "
            'run upgrade_net_proto_text on it first'
        )
    if not len(net.layer):
        raise SlimError(f"net '{net.name}' has no layers")


def _walk(result: Trace, layers: Sequence[caffe_pb2.LayerParameter]) -> None:
    blobs: dict[str, Flow | None] = {}
    source: dict[str, tuple[str, str]] = {}
    unread: dict[str, Flow | None] = {}
    for layer in layers:
        result.layers.setdefault(layer.name, layer)
        _note_shared(result, layer)
        for bottom in layer.bottom:
            if bottom not in blobs:
                raise SlimError(f"layer '{layer.name}' reads blob '{bottom}', which no layer before it makes")
            result.readers.setdefault(source[bottom], set()).add(layer.name)
            unread.pop(bottom, None)
        flows = apply_rule(result, layer, [blobs[b] for b in layer.bottom])
        for top, flow in zip(layer.top, flows):
            blobs[top], source[top], unread[top] = flow, (layer.name, top), flow
            if flow is not None:
                result.tops[layer.name, top] = flow
    for top, flow in unread.items():
        result.pin([flow], f"blob '{top}' is an output of the net")


def _note_shared(result: Trace, layer: caffe_pb2.LayerParameter) -> None:
    for index, spec in enumerate(layer.param):
        if spec.name:
            result.shared.setdefault(spec.name, {})[layer.name, index] = None


def _tie_shared(result: Trace) -> None:
    """Axes of parameters that layers share by name go together; one that only some of them know must stay."""
    for name, holders in result.shared.items():
        for axis in (0, 1):
            found = [result.axes.get((*holder, axis)) for holder in holders]
            known = [entry for entry in found if entry is not None]
            for entry in known:
                if len(known) < len(found) or len(entry.ids) != len(known[0].ids):
                    result.pins.append((entry.ids, f"layers that share parameter '{name}' read it differently"))
                else:
                    result.tie(known[0].ids, entry.ids)
