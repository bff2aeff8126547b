"""A net with its weights as ncnn's two files."""

from caffe.errors import CaffeError
from caffe.export.ncnn import convolution, neurons, pooling, shaping, statistics  # noqa: F401  (converters)
from caffe.export.ncnn.graph import (
    NcnnGraph,
    NcnnLayer,
    check_rank,
    converter_of,
    shape_parameters,
    to_bytes,
    to_text,
)
from caffe.export.ncnn.int8 import read_thresholds, to_int8
from caffe.net.net import Net
from caffe.proto.caffe_pb2 import TEST
from caffe.proto.files import write_bytes

_SUFFIX = '.param'


def export_ncnn(net: Net, path: str, calibration: str = '') -> list[str]:
    """Write a TEST net as `path`, a .param, and the .bin beside it; the paths of both.

    With a `calibration` file for ncnn the layers that it names compute in int8, and ncnn's calibration table is written
    as a third file, .table, for ncnn's own tools.

    Inputs, outputs and the last value of every other blob carry the names of Caffe's blobs, layers those of Caffe's
    layers; white space in them becomes `_`. One item is computed at a time. Sizes of the input follow from what the
    caller gives, as far as no layer of the net states sizes itself. Raises CaffeError for a layer without an exact form
    in ncnn.
    """
    if not path.endswith(_SUFFIX):
        raise CaffeError(f'{path}: expected a name that ends in {_SUFFIX}; the weights go into the .bin beside it')
    begin = path.removesuffix(_SUFFIX)
    layers = to_ncnn(net)
    table = to_int8(layers, read_thresholds(calibration), calibration) if calibration else ''
    files = {f'{begin}.bin': to_bytes(layers), path: to_text(layers).encode()}
    if calibration:
        files[f'{begin}.table'] = table.encode()
    for name, content in files.items():
        write_bytes(name, content)
    return [path, *sorted({*files} - {path})]


def to_ncnn(net: Net) -> list[NcnnLayer]:
    """The layers of a TEST net in ncnn's form."""
    if net.phase != TEST:
        raise CaffeError(f"net '{net.name}': is in the TRAIN phase, expected TEST for ncnn")
    net.reshape()
    graph, values = NcnnGraph(), {}
    names = _FinalNames(net)
    for index, (layer, bottom, top) in enumerate(zip(net.layers, net.wiring.bottoms, net.wiring.tops)):
        graph.prefix = layer.name
        shapes, tops = [b.shape for b in bottom], [t.shape for t in top]
        if layer.values_from == 'caller':
            _add_inputs(graph, net, layer.param.top)
            values.update({name: name for name in layer.param.top})
            continue
        convert = converter_of(layer)
        check_rank(layer, [*shapes, *tops])
        made = convert(graph, layer, [values[name] for name in layer.param.bottom], shapes, tops)
        if layer.type != 'Split':
            made = names.give(graph, index, made)
        values.update(zip(layer.param.top, made))
    graph.split()
    _settle_names(graph.layers)
    return graph.layers


def _add_inputs(graph: NcnnGraph, net: Net, names: list[str]) -> None:
    for name in names:
        shape = net.blobs[name].shape
        if not 2 <= len(shape) <= 4:
            raise CaffeError(f"input '{name}' has shape {shape}, ncnn expects a batch and 1 to 3 axes behind it")
        graph.layers.append(NcnnLayer('Input', name, [], [name], shape_parameters(shape[1:])))


class _FinalNames:
    """Which value of a blob keeps the blob's name: an input's own, or the last one where layers work in place."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._last = {name: i for i, layer in enumerate(net.layers) for name in layer.param.top}
        self._inputs = set(net.inputs)

    def give(self, graph: NcnnGraph, index: int, made: list[str]) -> list[str]:
        """The tops of layer `index` under the names that they have in the file."""
        layer = self._net.layers[index]
        given = []
        for top, value in zip(layer.param.top, made):
            is_last = self._last[top] == index and top not in self._inputs
            name = top if is_last else f'{top}/{layer.name}'
            graph.rename(value, name)
            given.append(name)
        return given


def _settle_names(layers: list[NcnnLayer]) -> None:
    """Names without white space; CaffeError where two layers or values have one name."""
    for layer in layers:
        layer.name = _name(layer.name)
        layer.bottoms, layer.tops = [*map(_name, layer.bottoms)], [*map(_name, layer.tops)]
    for kind, names in (
        ('layers', [layer.name for layer in layers]),
        ('blobs', [top for layer in layers for top in layer.tops]),
    ):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise CaffeError(f"two {kind} are called '{twice}', ncnn expects names of their own")


def _name(name: str) -> str:
    return '_'.join(name.split()) or '_'
