"""Binary nets in the numbers of a dialect, to and from messages of caffe.proto.

What is translated is the text of the net without its blobs, which are the same in all dialects.
"""

from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.dialects import guess
from caffe.proto.dialects.schema import OURS, check_name, message_class, weights_class
from caffe.proto.dialects.settings import without_settings
from caffe.proto.error_position import layer_of_error


def read_net(content: bytes, origin: str | Path, dialect: str | None = None) -> tuple[caffe_pb2.NetParameter, str]:
    """(NetParameter with byte-valued blobs, dialect) of the `content` of a binary file; `origin` names it in errors.

    Without `dialect` that of the file is guessed. Raises CaffeError where the file is cut short or of another dialect,
    where several dialects would read it differently, and for fields that are not implemented.
    """
    rest, blobs = _split(content, origin)
    dialect = dialect or guess.dialect_of(rest, origin)
    check_name(dialect)
    net = _in_dialect(rest, dialect, origin)
    if dialect != OURS:
        net = _translated(net, f'{origin}, as text of dialect {dialect}')
    _attach(net, blobs)
    return net, dialect


def net_to_bytes(net: caffe_pb2.NetParameter, dialect: str, origin: str | Path = 'net') -> bytes:
    """A NetParameter, with plain or byte-valued blobs, in the numbers of a dialect.

    Raises CaffeError for a field or enum value that the dialect has not.
    """
    check_name(dialect)
    content = net.SerializePartialToString()
    if dialect == OURS:
        return content
    rest, blobs = _split(content, origin)
    text = text_format.MessageToString(caffe_pb2.NetParameter.FromString(rest))
    try:
        target = text_format.Parse(text, message_class(dialect, 'NetParameter')())
    except text_format.ParseError as error:
        reason = str(error).split(' : ', 1)[-1].strip().splitlines()[0].replace('caffe.', '')
        where = layer_of_error(text, error)
        raise CaffeError(f'{origin}: {where + ": " if where else ""}dialect {dialect}: {reason}') from None
    _attach(target, blobs)
    return target.SerializePartialToString()


def _split(content: bytes, origin: str | Path) -> tuple[bytes, list[list[bytes]]]:
    """(the bytes of a net without its blobs, the blobs of each of its layers)."""
    try:
        net = weights_class().FromString(content)
    except DecodeError:
        raise CaffeError(
            f'{origin}: is not a whole binary net ({len(content)} bytes; truncated or another format)'
        ) from None
    blobs = []
    for layer in _with_blobs(net):
        blobs.append([blob.SerializePartialToString() for blob in layer.blobs])
        layer.ClearField('blobs')
    return net.SerializePartialToString(), blobs


def _attach(net: caffe_pb2.NetParameter, blobs: list[list[bytes]]) -> None:
    for layer, saved in zip(_with_blobs(net), blobs):
        for blob in saved:
            layer.blobs.add().MergeFromString(blob)


def _with_blobs(net: caffe_pb2.NetParameter) -> list[Message]:
    """The messages of a net that may hold blobs: layers of the present form, of the first and of the oldest."""
    inner = [layer.layer for layer in net.layers if layer.HasField('layer')]
    return [*net.layer, *net.layers, *inner]


def _in_dialect(rest: bytes, dialect: str, origin: str | Path) -> caffe_pb2.NetParameter:
    """The net of a dialect; CaffeError where numbers are left that it has not, which only this schema's keeps."""
    try:
        net = message_class(dialect, 'NetParameter').FromString(rest)
    except DecodeError:
        unknown = 'fields of other kinds'
    else:
        unknown = guess.unknown_field(net) if dialect != OURS else ''
    if unknown:
        raise CaffeError(
            f'{origin}: {unknown}, which dialect {dialect} has not; expected that of the Caffe that wrote it'
        )
    return net


def _translated(source: caffe_pb2.NetParameter, origin: str) -> caffe_pb2.NetParameter:
    """The fields of `source` by name in a NetParameter of caffe.proto, without settings that change no number."""
    text = text_format.MessageToString(source)
    rest = without_settings(text, caffe_pb2.NetParameter.DESCRIPTOR, origin)
    try:
        return text_format.Parse(rest, message_class(OURS, 'NetParameter')())
    except text_format.ParseError as error:
        raise CaffeError(f'{origin}: {" ".join(str(error).split())[:200]}') from None
