"""How channels pass through layers with a weight matrix: convolutions, inner products and the margin layers."""

from __future__ import annotations

import numpy as np

from sphereslim.channels.rules import Flows, Tops, resized, rule, stop
from sphereslim.channels.trace import Flow, Trace
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import is_padded


@rule('Convolution', 'Deconvolution', 'DepthwiseConvolution', 'ConvolutionFixed')
def _convolution(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    param = layer.convolution_param
    if param.axis != 1:
        return stop(trace, layer, flows, 'has its channels on an axis other than 1')
    outs = [_convolve(trace, layer, flow) for flow in flows]
    return [Flow(out.ids, out.flat, stays_single(param, flow)) for out, flow in zip(outs, flows)]


def stays_single(param: caffe_pb2.ConvolutionParameter, flow: Flow | None) -> bool:
    """Whether a convolution of one value per channel makes such a blob again."""
    kernel = [*param.kernel_size, *([param.kernel_h, param.kernel_w] if param.HasField('kernel_h') else ())]
    return flow is not None and flow.single and all(size == 1 for size in kernel) and not is_padded(param)


def _convolve(trace: Trace, layer: caffe_pb2.LayerParameter, flow: Flow | None) -> Flow:
    param, groups = layer.convolution_param, layer.convolution_param.group
    if flow is None or flow.flat:
        return _convolve_unknown(trace, layer, flow)
    if len(flow.ids) % groups or param.num_output % groups:
        raise SlimError(
            f"layer '{layer.name}' ({layer.type}): {len(flow.ids)} input channels and "
            f'{param.num_output} outputs, expected multiples of its {groups} groups'
        )
    read, made = len(flow.ids) // groups, param.num_output // groups
    if groups > 1 and 1 in (read, made):
        return _convolve_whole_groups(trace, layer, flow, read, made)
    out = trace.make(layer, param.num_output)
    if groups > 1:
        # The same places are cut in every group, so that the groups stay equally large.
        for ids in (flow.ids, out.ids):
            rows = ids.reshape(groups, -1)
            trace.tie(rows[0], *rows[1:])
    if layer.type != 'Deconvolution':
        trace.axis(layer, 0, 0, out, 'output')
        trace.axis(layer, 0, 1, Flow(flow.ids[:read]), 'input')
    else:
        trace.axis(layer, 0, 0, flow, 'input')
        trace.axis(layer, 0, 1, Flow(out.ids[:made]), 'output')
    return _count_outputs(trace, layer, out)


def _convolve_unknown(trace: Trace, layer: caffe_pb2.LayerParameter, flow: Flow | None) -> Flow:
    """A convolution of pictures whose number of channels the prototxt does not tell: only its outputs are known."""
    out = trace.make(layer, layer.convolution_param.num_output)
    if layer.convolution_param.group > 1 or layer.type == 'Deconvolution':
        trace.pin([out], f"'{layer.name}' ({layer.type}) reads a blob whose number of channels is not known")
    else:
        trace.axis(layer, 0, 0, out, 'output')
    trace.pin([flow], f"'{layer.name}' ({layer.type}) reads them as a flattened blob")
    return _count_outputs(trace, layer, out)


def _convolve_whole_groups(trace: Trace, layer: caffe_pb2.LayerParameter, flow: Flow, read: int, made: int) -> Flow:
    """Groups of one input or one output channel (depthwise) leave as a whole, inputs and outputs together."""
    rows = flow.ids.reshape(-1, read)
    for column in rows.T[1:]:
        trace.tie(rows[:, 0], column)
    out = Flow(np.repeat(rows[:, 0], made))
    trace.axis(layer, 0, 0, flow if layer.type == 'Deconvolution' else out, 'output')
    trace.count_field(layer, 'convolution_param.group', rows[:, 0])
    return _count_outputs(trace, layer, out)


def _count_outputs(trace: Trace, layer: caffe_pb2.LayerParameter, out: Flow) -> Flow:
    trace.count_field(layer, 'convolution_param.num_output', out.ids)
    if layer.convolution_param.bias_term:
        trace.axis(layer, 1, 0, out, 'output', ndim=1)
    return out


@rule('InnerProduct', 'InnerProductFixed')
def _inner_product(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    param = layer.inner_product_param
    if len(flows) > 1:
        return stop(trace, layer, flows, 'takes its weights from a blob')
    if param.axis > 1:
        return [resized(flows[0])]
    if param.axis < 1:
        return stop(trace, layer, flows, 'reads an axis that is not known')
    out = trace.make(layer, param.num_output)
    _matrix(trace, layer, flows[0], out, made=1 if param.transpose else 0)
    if getattr(param, 'normalize', False):  # a field of the SphereFace forks only
        _note_unit_rows(trace, layer, flows[0])
    if param.bias_term:
        trace.axis(layer, 1, 0, out, 'output', ndim=1)
    trace.count_field(layer, 'inner_product_param.num_output', out.ids)
    return [Flow(out.ids, single=True)]


def _matrix(trace: Trace, layer: caffe_pb2.LayerParameter, flow: Flow | None, out: Flow, made: int = 0) -> None:
    trace.axis(layer, 0, made, out, 'output', ndim=2)
    if flow is not None:
        trace.axis(layer, 0, 1 - made, flow, 'input', ndim=2, block=True)


def _note_unit_rows(trace: Trace, layer: caffe_pb2.LayerParameter, flow: Flow | None) -> None:
    if flow is not None:
        trace.note(flow, f"'{layer.name}' ({layer.type}) scales its weight rows to length one")


@rule('MarginInnerProduct')
def _margin_inner_product(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    out = trace.make(layer, layer.margin_inner_product_param.num_output)
    _matrix(trace, layer, flows[0], out)
    _note_unit_rows(trace, layer, flows[0])
    trace.count_field(layer, 'margin_inner_product_param.num_output', out.ids)
    return [Flow(out.ids, single=True)]


@rule('LargeMarginInnerProduct')
def _large_margin_inner_product(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    out = trace.make(layer, layer.largemargin_inner_product_param.num_output)
    _matrix(trace, layer, flows[0], out)
    trace.count_field(layer, 'largemargin_inner_product_param.num_output', out.ids)
    return [out]


@rule('InterClass')
def _inter_class(trace: Trace, layer: caffe_pb2.LayerParameter, flows: Flows) -> Tops:
    # Its rows are the labels' classes, shared with the classifier.
    out = trace.make(layer, layer.inter_class_param.num_output)
    trace.pin([out], f"'{layer.name}' ({layer.type}) has a row for every label")
    _matrix(trace, layer, flows[0], out)
    return []
