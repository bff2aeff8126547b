"""How channels pass through each type of layer: one rule per family, `rule(trace, layer, flows) -> flows of the tops`.

A flow is None where the channels of a blob are not known (labels, scalars, outputs of types without a rule).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from google.protobuf.message import Message

from sphereslim.channels.trace import Flow, Trace
from sphereslim.engine import caffe_pb2, layer_class
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import is_padded, types_with

_SINKS = ('Accuracy', 'HDF5Output')  # besides the losses
Flows = Sequence[Flow | None]  # of the bottoms of a layer
Tops = Sequence[Flow | None]  # of its tops, the first ones
Rule = Callable[..., Tops]  # of (trace, layer, flows of its bottoms)
RULES: dict[str, Rule] = {}


def rule(*types: str) -> Callable[[Rule], Rule]:
    """Register a rule for layer types."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(types, function))
        return function

    return register


def apply_rule(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    """The flows of a layer's tops, one each; what they imply is written into the trace."""
    if not layer.bottom:
        tops: Tops = _source(trace, layer)
    elif layer.type.endswith('Loss') or layer.type in _SINKS:
        trace.pin(flows, f"'{layer.name}' ({layer.type}) judges or stores blob '{layer.bottom[0]}'")
        tops = []
    elif layer.type in RULES:
        tops = RULES[layer.type](trace, layer, flows)
    else:
        tops = _as_its_class_says(trace, layer, flows)
    return [*tops, *[None] * (len(layer.top) - len(tops))]


def _as_its_class_says(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    """A type without a rule: its class may state that channels pass one by one, and which blobs have a value each."""
    facts = layer_class(layer.type)
    if facts is None or not facts.per_channel or len(flows) > 1:
        return stop(trace, layer, flows, 'is of a type whose channels are not followed')
    if flows[0] is not None:
        for blob in facts.channel_blobs:
            trace.axis(layer, blob, 0, flows[0], 'output', ndim=1)
    return [flows[0]] * len(layer.top)


def stop(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows, why: str) -> Tops:
    """No channel passes: what comes in must stay, what goes out is unknown."""
    trace.pin(flows, f"they reach '{layer.name}' ({layer.type}), which {why}")
    return []


def _source(trace: Trace, layer: caffe_pb2.LayerParameter) -> Tops:
    """The pictures' channels, which stay, where the prototxt tells their number."""
    flows = [trace.fresh(number) if number else None for number in _source_channels(layer)]
    trace.pin(flows, f"'{layer.name}' ({layer.type}) is an input of the net")
    return flows


def _source_channels(layer: caffe_pb2.LayerParameter) -> list[int]:
    """The number of channels of each top of a layer without bottoms, 0 where unknown."""
    shapes = {'Input': layer.input_param.shape, 'DummyData': layer.dummy_data_param.shape}.get(layer.type, ())
    if shapes:
        dims = [list(shape.dim) for shape in shapes]
        return [d[1] if len(d) > 1 else 0 for d in (dims * len(layer.top) if len(dims) == 1 else dims)]
    if layer.type == 'ImageData':
        return [3 if layer.image_data_param.is_color else 1]
    if layer.type == 'MemoryData':
        return [layer.memory_data_param.channels]
    return []


def _same(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    return [flows[0]] * len(layer.top)


rule(*types_with('per_channel'), 'Split', 'BatchReindex', 'Silence')(_same)


@rule('Pooling')
def _pooling(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    flow = flows[0]
    if flow is not None:
        param = layer.pooling_param
        single = param.global_pooling or flow.single and not is_padded(param)
        flow = Flow(flow.ids, flow.flat, single=single)
    return [flow] * len(layer.top)


@rule('Pooling3D')
def _pooling3d(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    return [resized(flows[0])]


@rule('PReLU')
def _prelu(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    if flows[0] is not None and not layer.prelu_param.channel_shared:
        trace.axis(layer, 0, 0, flows[0], 'output', ndim=1)
    return [flows[0]]


@rule('BatchNorm')
def _batch_norm(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    if flows[0] is not None:
        trace.axis(layer, 0, 0, flows[0], 'output', ndim=1)
        trace.axis(layer, 1, 0, flows[0], 'output', ndim=1)
    return [flows[0]]


@rule('Scale', 'Bias')
def _scale(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    param = layer.scale_param if layer.type == 'Scale' else layer.bias_param
    if param.axis < 0:
        return stop(trace, layer, flows, 'counts its axis from the end')
    if len(layer.bottom) > 1:
        return _scale_by_blob(trace, layer, flows, param.axis)
    if flows[0] is not None and param.axis < 2 and param.num_axes != 0:
        _scale_axes(trace, layer, flows[0], param)
    return [flows[0]]


def _scale_axes(trace: Trace, layer: caffe_pb2.LayerParameter, flow: Flow, param: caffe_pb2.ScaleParameter) -> None:
    """The learned factors span the blob's axes from `axis` on, so channels are their first or second axis."""
    has_bias = layer.type == 'Scale' and param.bias_term
    place = 1 - param.axis
    for blob in range(2 if has_bias else 1):
        if place == 0 or param.num_axes != 1:
            trace.axis(layer, blob, place, flow, 'output', ndim=1 if param.num_axes == 1 else 0)


def _scale_by_blob(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows, axis: int) -> Tops:
    """A second bottom gives the factors: from axis 0 on its channels are the first one's."""
    if axis == 0:
        return joined(trace, layer, flows)
    if axis == 1:
        return stop(trace, layer, flows, 'takes its factors from a blob without a batch axis')
    return [flows[0]]


@rule('Eltwise')
def joined(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows, like: int = 0) -> Tops:
    """Blobs combined element by element: their channels go together. The top has the shape of bottom `like`."""
    known = [flow for flow in flows if flow is not None]
    if not known:
        return []
    if len({(len(flow.ids), flow.flat) for flow in known}) > 1:
        return stop(trace, layer, flows, 'combines blobs of different channels')
    if len(known) < len(flows):
        trace.pin(known, f"'{layer.name}' ({layer.type}) combines them with a blob whose channels are not known")
    trace.tie(*(flow.ids for flow in known))
    return [flows[like] or Flow(known[0].ids, known[0].flat)]


def resized(flow: Flow | None) -> Flow | None:
    """The flow of a blob of the same channels, of which each may have more values than before."""
    return Flow(flow.ids, flow.flat) if flow is not None else None


def _axis_of(param: Message, old: str) -> int:
    return getattr(param, old) if param.HasField(old) else param.axis


@rule('Concat')
def _concat(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    axis = _axis_of(layer.concat_param, 'concat_dim')
    if axis < 0:
        return stop(trace, layer, flows, 'counts its axis from the end')
    if len(flows) == 1:
        return flows
    if axis != 1:
        tops = joined(trace, layer, flows)
        return tops if axis == 0 else [resized(flow) for flow in tops]
    known = [flow for flow in flows if flow is not None and not flow.flat]
    if len(known) < len(flows):
        return stop(trace, layer, flows, 'joins them with a blob whose number of channels is not known')
    return [Flow(np.concatenate([flow.ids for flow in known]), single=all(flow.single for flow in known))]


@rule('Slice')
def _slice(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    param, flow = layer.slice_param, flows[0]
    axis = _axis_of(param, 'slice_dim')
    if flow is None or axis >= 0 and axis != 1:
        return [flow] * len(layer.top)
    if axis < 0 or flow.flat:
        return stop(trace, layer, flows, 'cuts at places that are not channels')
    count = len(layer.top)
    points = list(param.slice_point) or [len(flow.ids) * i // count for i in range(1, count)]
    if len(points) != count - 1:
        raise SlimError(f"layer '{layer.name}' has {len(points)} slice points for {count} tops, expected {count - 1}")
    trace.points_field(layer, 'slice_param.slice_point', flow.ids, points)
    return [Flow(ids, single=flow.single) for ids in np.split(flow.ids, points)]


@rule('Flatten')
def _flatten(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    param, flow = layer.flatten_param, flows[0]
    if param.axis == 1 and param.end_axis == -1:
        return [_flattened(flow)] if flow is not None else []
    return [flow] if param.axis > 1 else stop(trace, layer, flows, 'mixes channels with other axes')


@rule('Reshape')
def _reshape(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    param, flow = layer.reshape_param, flows[0]
    dims = list(param.shape.dim)
    whole = param.axis == 0 and param.num_axes == -1
    if param.axis > 1 or whole and dims[:2] == [0, 0]:
        return [flow]
    if not whole or flow is None or len(dims) < 2:
        return stop(trace, layer, flows, 'gives them a shape of its own')
    rest_is_one = all(dim == 1 for dim in dims[2:])
    if dims[0] == 0 and dims[1] == -1 and rest_is_one:
        return [_flattened(flow)]
    if dims[1] == len(flow.ids) and not flow.flat and (dims[0] == 0 or flow.single and rest_is_one):
        trace.count_field(layer, 'reshape_param.shape.dim[1]', flow.ids)
        return [flow]
    return stop(trace, layer, flows, 'gives them a shape of its own')


def _flattened(flow: Flow) -> Flow:
    return flow if flow.single else Flow(flow.ids, flat=True)


@rule('Crop')
def _crop(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    if layer.crop_param.axis < 2:
        return stop(trace, layer, flows, 'cuts along channels')
    return [flows[0]]


@rule('Reduction')
def _reduction(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    if layer.reduction_param.axis < 2:
        return stop(trace, layer, flows, 'sums over channels')
    return [flows[0]]


@rule('Tile')
def _tile(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    param, flow = layer.tile_param, flows[0]
    if flow is None or param.axis == 0:
        return [flow]
    if param.axis > 1:
        return [resized(flow)]
    if param.axis < 0 or flow.flat:
        return stop(trace, layer, flows, 'repeats along an axis that is not known')
    return [Flow(np.tile(flow.ids, param.tiles), single=flow.single)]


def _mixes(trace: Trace, layer: caffe_pb2.LayerParameter, flow: Flow | None, how: str) -> Tops:
    if flow is not None:
        trace.note(flow, f"'{layer.name}' ({layer.type}) {how}")
    return [flow]


@rule('LRN')
def _lrn(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    param = layer.lrn_param
    if param.norm_region == param.WITHIN_CHANNEL:
        return [flows[0]]
    return _mixes(trace, layer, flows[0], 'divides by sums over neighbouring channels')


@rule('MVN')
def _mvn(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    return (
        _mixes(trace, layer, flows[0], 'takes its mean over all channels')
        if layer.mvn_param.across_channels
        else [flows[0]]
    )


@rule('Softmax')
def _softmax(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    if layer.softmax_param.axis > 1:
        return [flows[0]]
    return _mixes(trace, layer, flows[0], 'divides by a sum over all channels')


@rule('Normalize')
def _normalize(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    # A removed channel counts as zero in the norm, as a masked one does: no caveat. The second top is the norm itself.
    if layer.HasField('norm_param') and not layer.norm_param.channel_shared and flows[0] is not None:
        trace.axis(layer, 0, 0, flows[0], 'output', ndim=1)  # SSD's scale of each channel
    return [flows[0]]


@rule('Embed')
def _embed(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    return stop(trace, layer, flows, 'takes whole numbers')
