"""Drawing a network as a graph with pydot: caffe.draw.

Layers are boxes coloured by kind, blobs are octagons. Pictures need Graphviz; the formats 'dot' and 'raw' do not.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from caffe.errors import CaffeError
from caffe.net.phases import filter_net
from caffe.proto import caffe_pb2
from caffe.proto.files import write_bytes

if TYPE_CHECKING:
    import pydot

LAYER_STYLE_DEFAULT = {'shape': 'record', 'fillcolor': '#6495ED', 'style': 'filled'}
NEURON_LAYER_STYLE = {'shape': 'record', 'fillcolor': '#90EE90', 'style': 'filled'}
BLOB_STYLE = {'shape': 'octagon', 'fillcolor': '#E0E0E0', 'style': 'filled'}
_COLOURS = {
    'Convolution': '#FF5050',
    'Deconvolution': '#FF5050',
    'Pooling': '#FF9900',
    'Pooling3D': '#FF9900',
    'InnerProduct': '#CC33FF',
    'MarginInnerProduct': '#CC33FF',
}
_RECORD_SYNTAX = re.compile(r'[{}|<>"\\]')


def get_pydot_graph(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> 'pydot.Dot':
    """A pydot.Dot of a NetParameter.

    `rankdir` is LR, TB, RL or BT; `phase` (caffe.TRAIN, caffe.TEST) leaves out the layers of the other phase;
    `display_lrm` writes the learning rate multipliers into the boxes.
    """
    pydot = _pydot()
    graph = pydot.Dot(_quoted(caffe_net.name or 'Net'), graph_type='digraph', rankdir=rankdir)
    blobs: dict[str, None] = {}
    edges: list[tuple[str, str, str]] = []
    for layer in _layers(caffe_net, phase):
        node = _quoted(f'{layer.name}_{layer.type}')
        graph.add_node(pydot.Node(node, label=get_layer_label(layer, rankdir, display_lrm), **_style(layer)))
        for name in layer.bottom:
            blobs[name] = None
            edges.append((_blob_node(name), node, '""'))
        for name in layer.top:
            blobs[name] = None
            edges.append((node, _blob_node(name), _quoted(get_edge_label(layer)) if label_edges else '""'))
    for name in blobs:
        graph.add_node(pydot.Node(_blob_node(name), label=_quoted(name), **BLOB_STYLE))
    for source, target, label in edges:
        graph.add_edge(pydot.Edge(source, target, label=label))
    return graph


def _pydot() -> ModuleType:
    try:
        import pydot
    except ImportError:
        raise CaffeError("draw: needs pydot, expected it installed (pip install 'caffe-sphereface[draw]')") from None
    return pydot


def _layers(net: caffe_pb2.NetParameter, phase: int | None) -> Iterable[caffe_pb2.LayerParameter]:
    if phase is None:
        return net.layer
    chosen = caffe_pb2.NetParameter()
    chosen.CopyFrom(net)
    chosen.state.phase = phase
    return filter_net(chosen).layer


def _style(layer: caffe_pb2.LayerParameter) -> dict[str, str]:
    if len(layer.bottom) == len(layer.top) == 1 and layer.bottom[0] == layer.top[0]:
        return NEURON_LAYER_STYLE
    return {**LAYER_STYLE_DEFAULT, 'fillcolor': choose_color_by_layertype(layer.type)}


def _quoted(text: str) -> str:
    escaped = text.replace('\\', '\\\\').replace('"', '\\"')
    return f'"{escaped}"'


def _blob_node(name: str) -> str:
    return _quoted(f'{name}_blob')


def get_edge_label(layer: caffe_pb2.LayerParameter) -> str:
    """What a layer's outgoing edges say: the batch size of data layers, the number of outputs of learned ones."""
    if layer.type.endswith('Data'):
        sizes = [
            getattr(getattr(layer, field.name), 'batch_size', 0)
            for field, _ in layer.ListFields()
            if field.name.endswith('data_param')
        ]
        return f'Batch {sizes[0]}' if sizes and sizes[0] else ''
    if layer.type in ('Convolution', 'Deconvolution', 'DepthwiseConvolution'):
        return str(layer.convolution_param.num_output)
    if layer.type == 'InnerProduct':
        return str(layer.inner_product_param.num_output)
    return ''


def get_layer_label(layer: caffe_pb2.LayerParameter, rankdir: str, display_lrm: bool = False) -> str:
    """The text in a layer's box: name, type, and for windows their size, stride and padding."""
    separator = ' ' if rankdir in ('TB', 'BT') else '\\n'
    parts = [f'{layer.name}', f'({layer.type})']
    kinds = ('Convolution', 'Deconvolution', 'DepthwiseConvolution', 'ConvolutionDepthwise')
    window = {**dict.fromkeys(kinds, layer.convolution_param), 'Pooling': layer.pooling_param}.get(layer.type)
    if window is not None:
        kind = get_pooling_types_dict()[window.pool] + ' ' if layer.type == 'Pooling' else ''
        parts[1] = f'({kind}{layer.type})'
        parts.extend(
            f'{what}: {_size(window, field, default)}'
            for what, field, default in (
                ('kernel size', 'kernel_size', 'all'),
                ('stride', 'stride', 1),
                ('pad', 'pad', 0),
            )
        )
    if display_lrm and layer.param:
        parts.append('lr mult: ' + ', '.join(f'{spec.lr_mult:g}' for spec in layer.param))
    text = separator.join(_RECORD_SYNTAX.sub(r'\\\g<0>', part) for part in parts)
    return f'"{text}"'


def _size(param: caffe_pb2.ConvolutionParameter | caffe_pb2.PoolingParameter, field: str, default: str | int) -> str:
    values = getattr(param, field)
    values = list(values) if hasattr(values, 'append') else [values] if param.HasField(field) else []
    stem = field.split('_')[0]
    sides = [getattr(param, f'{stem}_{side}') for side in 'hw']
    return 'x'.join(str(v) for v in values or (sides if any(sides) else [default]))


def get_pooling_types_dict() -> dict[int, str]:
    """{value: name} of the pooling methods."""
    return {value: name for name, value in caffe_pb2.PoolingParameter.PoolMethod.items()}


def choose_color_by_layertype(layertype: str) -> str:
    """The fill colour of a layer type's box."""
    return _COLOURS.get(layertype, LAYER_STYLE_DEFAULT['fillcolor'])


def draw_net(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str,
    ext: str = 'png',
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """The drawn network as the bytes of a file of format `ext`."""
    graph = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
    if ext in ('dot', 'raw'):
        return graph.to_string().encode()
    try:
        return graph.create(format=ext)
    except (OSError, AssertionError) as error:
        text = ' '.join(str(error).split())
        raise CaffeError(
            f"draw: Graphviz cannot make '{ext}' ({text}); expected the command dot, or the format dot"
        ) from None


def draw_net_to_file(
    caffe_net: caffe_pb2.NetParameter,
    filename: str | Path,
    rankdir: str = 'LR',
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Draw a network into a file, in the format that its name ends with; whole or not at all."""
    ext = str(filename).rpartition('.')[2]
    write_bytes(filename, draw_net(caffe_net, rankdir, ext, phase, display_lrm))
