"""A net with its weights as an ONNX model."""

from types import ModuleType
from typing import Any

import caffe
from caffe.errors import CaffeError
from caffe.export import (  # noqa: F401  (converters)
    convolution,
    detection,
    forks,
    neurons,
    pooling,
    recurrent,
    shaping,
    statistics,
)
from caffe.export.graph import OPSET, Graph, converter_of
from caffe.net.net import Net
from caffe.proto.caffe_pb2 import TEST
from caffe.proto.files import write_bytes

_INPUTS = ('caller', 'filler')  # whose values an ONNX model takes as inputs


def export_onnx(net: Net, path: str, any_batch: bool = False) -> None:
    """Write a TEST net as ONNX: inputs, outputs and values carry the names of Caffe's blobs.

    Sizes are those of the net's present input blobs; with `any_batch` the first axis of inputs and outputs is open.
    Raises CaffeError for a layer that has no form in ONNX and where the package onnx is missing.
    """
    onnx = _import_onnx(path)
    if net.phase != TEST:
        raise CaffeError(f'{path}: the net is in the TRAIN phase, expected TEST for ONNX')
    unrolled = [layer.name for layer in net.layers if layer.over_time]
    if any_batch and unrolled:
        raise CaffeError(
            f'{path}: layers {", ".join(unrolled)} are unrolled over sequences of one size, '
            'expected -any_batch for nets without them only'
        )
    net.reshape()
    graph = Graph(onnx)
    values = _convert(net, graph)
    model = _model(onnx, net, graph, values, any_batch)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise CaffeError(f'{path}: the net makes no valid ONNX ({str(error).splitlines()[0]})') from None
    write_bytes(path, model.SerializeToString())


def _import_onnx(path: str) -> ModuleType:
    try:
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise CaffeError(f"{path}: ONNX needs the package onnx (pip install 'caffe-sphereface[onnx]')") from None
    return onnx


def _convert(net: Net, graph: Graph) -> dict[str, str]:
    """{blob name: name of its last ONNX value}."""
    values: dict[str, str] = {}
    for name in (*net.inputs, *net.outputs):
        graph.reserve(name)
    for layer, bottom, top in zip(net.layers, net.wiring.bottoms, net.wiring.tops):
        if layer.values_from in _INPUTS:
            values.update((name, name) for name in layer.param.top)
            continue
        graph.prefix = layer.name
        x = [values[name] for name in layer.param.bottom]
        made = converter_of(layer)(graph, layer, x, [b.shape for b in bottom], [t.shape for t in top])
        values.update(zip(layer.param.top, made))
    return values


def _model(onnx: ModuleType, net: Net, graph: Graph, values: dict[str, str], any_batch: bool) -> Any:
    sources = [name for layer in net.layers if layer.values_from in _INPUTS for name in layer.param.top]
    outputs = [name for name in net.outputs if name not in sources]
    if not sources or not outputs:
        raise CaffeError(
            f"net '{net.name}': has inputs {sources} and outputs {outputs}, "
            'expected at least one Input layer and one output'
        )
    for name in outputs:
        graph.rename(values[name], name)

    open_axes = {name: layer.open_axes for layer in net.layers for name in layer.param.top}

    def described(name: str) -> Any:
        shape: list[int | str] = list(net.blobs[name].shape)
        if any_batch and shape and not open_axes[name]:
            shape[0] = 'N'
        for axis in open_axes[name]:
            shape[axis] = f'{name}_{axis}'
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    made = onnx.helper.make_graph(
        graph.nodes,
        net.name or 'net',
        [described(name) for name in sources],
        [described(name) for name in outputs],
        graph.constants,
    )
    return onnx.helper.make_model(
        made,
        opset_imports=[onnx.helper.make_opsetid('', OPSET)],
        ir_version=8,
        producer_name='caffe-sphereface',
        producer_version=caffe.__version__,
    )
