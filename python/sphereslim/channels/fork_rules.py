"""How channels pass through layers that only forks of Caffe have."""

from __future__ import annotations  # the schema is loaded when it is first used

from collections.abc import Sequence

from sphereslim.channels.rules import joined, resized, rule, stop
from sphereslim.channels.trace import Flow, Trace
from sphereslim.channels.weighted_rules import stays_single
from sphereslim.engine import caffe_pb2

Flows = Sequence[Flow | None]


@rule('ShuffleChannel')
def _shuffle(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    """The same places leave every group, so that the groups stay equally large and the order what it was."""
    flow, groups = flows[0], layer.shuffle_channel_param.group
    if flow is None or groups == 1:
        return [flow]
    if flow.flat or groups < 1 or len(flow.ids) % groups:
        return stop(trace, layer, flows, f'has {groups} groups, which do not divide their number')
    rows = flow.ids.reshape(groups, -1)
    trace.tie(rows[0], *rows[1:])
    return [Flow(rows.T.ravel())]


@rule('Permute')
def _permute(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    order = list(layer.permute_param.order)
    if order[:2] in ([], [0], [0, 1]):
        return [flows[0]]
    return stop(trace, layer, flows, 'moves them to another axis')


@rule('Interp', 'ROIPooling', 'ROIAlign')
def _first(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    trace.pin(flows[1:], f"'{layer.name}' ({layer.type}) reads them as regions")
    return [resized(flows[0])]


@rule('Upsample')
def _upsample(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    """A second bottom says where each value of the first goes, channel by channel."""
    return [resized(flow) for flow in (joined(trace, layer, flows) if len(flows) > 1 else flows)]


@rule('Axpy')
def _axpy(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    """Bottom 0 has one factor for each channel of the pictures, bottoms 1 and 2."""
    return joined(trace, layer, flows, like=1)


@rule('ChannelScale')
def _channel_scale(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    trace.pin(flows[1:], f"'{layer.name}' ({layer.type}) multiplies all channels by them")
    return [flows[0]]


@rule('NormL2')
def _norm_l2(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    # A removed channel counts as zero in the norm, as a masked one does.
    return [flows[0]]


@rule('BN')
def _bn(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    """Blobs (1, C, 1, 1): PSPNet's slope, bias, mean and variance, or SegNet's scale and shift."""
    is_segnet = any(map(layer.bn_param.HasField, ('scale_filler', 'shift_filler', 'bn_mode')))
    is_segnet = is_segnet and not layer.bn_param.moving_average  # PSPNet's first form has SegNet's fillers
    if flows[0] is not None:
        for blob in range(2 if is_segnet else 4):
            trace.axis(layer, blob, 0, flows[0], 'output', ndim=1)
    return [flows[0]]


@rule('ConvolutionDepthwise')
def _convolution_depthwise(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    """One filter for each channel; fields that the layer ignores are kept true where they were."""
    flow, param = flows[0], layer.convolution_param
    if flow is None or flow.flat:
        return stop(trace, layer, flows, 'reads a blob whose number of channels is not known')
    trace.axis(layer, 0, 0, flow, 'output')
    if param.bias_term:
        trace.axis(layer, 1, 0, flow, 'output', ndim=1)
    for name in ('num_output', 'group'):
        if getattr(param, name) == len(flow.ids):
            trace.count_field(layer, f'convolution_param.{name}', flow.ids)
    return [Flow(flow.ids, single=stays_single(param, flow))]


@rule('LabelSpecificAdd', 'LabelSpecificMargin', 'CosinAddm', 'CombinedMargin', 'AdaCosAddmScale')
def _margin(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    trace.pin(flows, f"'{layer.name}' ({layer.type}) takes them for classes")
    return [flows[0]]


@rule('InnerDistance')
def _inner_distance(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    return stop(trace, layer, flows, 'takes distances, of which an input of zero is a part')


@rule('PriorBox')
def _prior_box(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    return []  # only the sizes of the bottoms count


@rule('DetectionOutput')
def _detection_output(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Flows:
    return stop(trace, layer, flows, 'takes them for boxes and classes')
