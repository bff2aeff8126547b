"""Reading, writing and rewriting prototxt files as messages of Caffe's own schema.

Every function that changes a net returns a new NetParameter and leaves its argument alone.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format

from sphereslim.engine import caffe, caffe_pb2, without_settings
from sphereslim.errors import SlimError
from sphereslim.files import read_bytes, write_bytes
from sphereslim.net.messages import M, copy_of
from sphereslim.net.old_forms import is_old, upgraded
from sphereslim.net.text import to_text


def read_net(path: str | Path) -> caffe_pb2.NetParameter:
    """The NetParameter in a prototxt file, of an old one in the present form; SlimError names file, line and reason."""
    net = _parse(path, caffe_pb2.NetParameter())
    if is_old(net):
        net = upgraded(net, path)
    if not net.layer:
        raise SlimError(f'{path}: holds no layers, expected a net prototxt')
    _check_bottoms(net, path)
    return _with_input_layers(net)


def _check_bottoms(net: caffe_pb2.NetParameter, path: str | Path) -> None:
    made = set(net.input)
    for layer in net.layer:
        for blob in layer.bottom:
            if blob not in made:
                raise SlimError(f"{path}: layer '{layer.name}' reads blob '{blob}', which no layer before it makes")
        made.update(layer.top)


def read_solver(path: str | Path) -> caffe_pb2.SolverParameter:
    """The SolverParameter in a prototxt file; SlimError names file, line and reason."""
    solver = _parse(path, caffe_pb2.SolverParameter())
    if not solver.ListFields():
        raise SlimError(f'{path}: says nothing, expected a solver prototxt')
    return solver


def parse_net(text: str, origin: str = 'text') -> caffe_pb2.NetParameter:
    """The NetParameter in a string; `origin` names it in errors."""
    return _with_input_layers(_parse_text(text, caffe_pb2.NetParameter(), origin))


def write_prototxt(
    path: str | Path, message: caffe_pb2.NetParameter | caffe_pb2.SolverParameter, comment: str = ''
) -> None:
    """Write a net or solver as readable text, whole or not at all, under `comment` as `#` lines."""
    write_bytes(path, to_text(message, comment).encode())


def find_layer(net: caffe_pb2.NetParameter, name: str) -> caffe_pb2.LayerParameter:
    """The LayerParameter of that name; SlimError lists the layers that exist."""
    for layer in net.layer:
        if layer.name == name:
            return layer
    known = ', '.join(layer.name for layer in net.layer)
    raise SlimError(f"net '{net.name}': no layer '{name}', expected one of: {known}")


def with_data(
    net: caffe_pb2.NetParameter, source: str | Path, root_folder: str | Path = '', batch_size: int | None = None
) -> caffe_pb2.NetParameter:
    """The net with its ImageData layers reading the list `source` of pictures under `root_folder`."""
    result = copy_of(net)
    layers = [layer for layer in result.layer if layer.type == 'ImageData']
    if not layers:
        raise SlimError(f"net '{net.name}': has no ImageData layer to read {source}")
    for layer in layers:
        layer.image_data_param.source = str(source)
        layer.image_data_param.root_folder = str(root_folder)
    return with_batch(result, batch_size) if batch_size else result


def with_batch(net: caffe_pb2.NetParameter, size: int) -> caffe_pb2.NetParameter:
    """The net with its ImageData layers reading `size` pictures at a time."""
    result = copy_of(net)
    for layer in result.layer:
        if layer.type == 'ImageData':
            layer.image_data_param.batch_size = size
    return result


def read_prototxt(path: str | Path) -> str:
    """The text of a prototxt; bytes that are no UTF-8, as comments in GBK or Latin-1 have, become lone surrogates.

    SlimError for what cannot be read or is binary.
    """
    content = read_bytes(path)
    if b'\0' in content:
        raise SlimError(f'{path}: is not text, expected a prototxt')
    return content.decode('utf-8-sig', 'surrogateescape')


def _parse(path: str | Path, message: M) -> M:
    return _parse_text(read_prototxt(path), message, path)


def _parse_text(text: str, message: M, origin: str | Path) -> M:
    try:
        return _parsed(text, message, origin)
    except text_format.ParseError as error:
        reason = ' '.join(str(error).split())
        if isinstance(error.__context__, UnicodeEncodeError):
            reason = reason.split(' : ')[0] + ': a name or path that is not UTF-8'
        raise SlimError(f'{origin}:{reason[:300]}') from None


def _parsed(text: str, message: M, origin: str | Path) -> M:
    """The text as a message; the project's own Caffe leaves out settings of other Caffes that change no number."""
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError:
        try:
            rest = without_settings(text, message.DESCRIPTOR, origin)
        except caffe.CaffeError as error:
            raise SlimError(str(error)) from None
        message.Clear()
        return text_format.Parse(rest, message)


def _with_input_layers(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """The old `input:` with `input_dim:` or `input_shape` turned into Input layers."""
    if not net.input:
        return net
    shapes = [list(s.dim) for s in net.input_shape]
    axes = 5 if len(net.input_dim) == 5 * len(net.input) else 4  # five of C3D
    shapes = shapes or [list(net.input_dim[i : i + axes]) for i in range(0, len(net.input_dim), axes)]
    result = copy_of(net)
    for field in ('input', 'input_dim', 'input_shape', 'layer'):
        result.ClearField(field)
    for name, shape in zip(net.input, shapes):
        result.layer.add(name=name, type='Input', top=[name], input_param={'shape': [{'dim': shape}]})
    result.layer.extend(net.layer)
    return result
