"""Reading and writing Caffe's text and binary files, with errors that name the file."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from caffe.errors import CaffeError, reason
from caffe.proto import caffe_pb2, own_layers
from caffe.proto.dialects.settings import without_settings
from caffe.proto.error_position import layer_of_error
from caffe.proto.upgrade import upgrade_net, upgrade_solver

Buffer = bytes | bytearray | memoryview
AnyMessage = TypeVar('AnyMessage', bound=Message)


def read_bytes(path: str | Path, count: int = -1) -> bytes:
    """The content of a file, or its first `count` bytes; CaffeError naming it when it cannot be read."""
    try:
        with Path(path).open('rb') as file:
            return file.read(count)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise CaffeError(f'{path}: cannot be read ({reason(error)})') from None


def read_text_message(path: str | Path, message: AnyMessage) -> AnyMessage:
    """Parse a prototxt file into `message` and return it; CaffeError with file, line and reason otherwise."""
    content = read_bytes(path)
    if b'\0' in content:
        raise CaffeError(f'{path}: is not text, expected a prototxt')
    # comments may be in any encoding (GBK, Latin-1); what is no UTF-8 is refused where it is part of a field
    return parse_text(content.decode('utf-8-sig', 'surrogateescape'), message, path)


def parse_text(text: str, message: AnyMessage, origin: str | Path) -> AnyMessage:
    """Parse prototxt text into `message` and return it; `origin` names it in errors."""
    own_layers.check()
    try:
        return _parse(text, message, origin)
    except (text_format.ParseError, RecursionError, SystemError) as error:
        reason = ' '.join(str(error).split())
        if isinstance(error, SystemError):  # protobuf looks up an enum value that is not UTF-8
            reason = ' has a value that is not UTF-8'
        elif isinstance(error.__context__, UnicodeEncodeError):
            reason = reason.split(' : ')[0] + ': a name or path that is not UTF-8'
        layer = layer_of_error(text, error) if isinstance(error, text_format.ParseError) else ''
        where = f'{layer}, ' if layer else ''
        raise CaffeError(f'{origin}:{reason[:300]} ({where}expected a {message.DESCRIPTOR.name})') from None


def _parse(text: str, message: AnyMessage, origin: str | Path) -> AnyMessage:
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError:
        rest = without_settings(text, message.DESCRIPTOR, origin)
        if rest == text:
            raise
        message.Clear()
        return text_format.Parse(rest, message)


def whole(message: AnyMessage, origin: str | Path) -> AnyMessage:
    """The message itself; CaffeError where a field that it must have is missing."""
    missing = message.FindInitializationErrors()
    if missing:
        raise CaffeError(f'{origin}: {missing[0]} is missing (expected a {message.DESCRIPTOR.name})')
    return message


def _not_empty(message: AnyMessage, path: str | Path) -> AnyMessage:
    if not message.ListFields():
        raise CaffeError(f'{path}: is empty, expected a {message.DESCRIPTOR.name}')
    return message


def read_net(source: str | Path | caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A NetParameter from a prototxt path (or a NetParameter itself), upgraded from old forms."""
    if isinstance(source, caffe_pb2.NetParameter):
        origin = source.name or 'net'
        net = caffe_pb2.NetParameter()
        net.CopyFrom(whole(source, origin))
    else:
        net, origin = _not_empty(read_text_message(source, caffe_pb2.NetParameter()), source), source
    return upgrade_net(net, str(origin))


def read_solver(source: str | Path | caffe_pb2.SolverParameter) -> caffe_pb2.SolverParameter:
    """A SolverParameter from a prototxt path (or a SolverParameter itself), upgraded from old forms."""
    if isinstance(source, caffe_pb2.SolverParameter):
        origin: str | Path = 'solver'
        solver = caffe_pb2.SolverParameter()
        solver.CopyFrom(whole(source, origin))
    else:
        solver, origin = _not_empty(read_text_message(source, caffe_pb2.SolverParameter()), source), source
    return upgrade_solver(solver, str(origin))


def write_bytes(path: str | Path, *chunks: Buffer) -> None:
    """Write a file whole or not at all: under a temporary name beside it, which then takes the place of an old file.

    A link is followed; a device or a pipe is written into. Raises CaffeError naming `path` when writing fails (a full
    disk, a missing folder), and leaves an old file as it was.
    """
    try:
        target = os.path.realpath(path)
        if os.path.exists(target) and not os.path.isfile(target) and not os.path.isdir(target):
            _write(target, chunks)
        else:
            _replace(target, chunks)
    except (OSError, ValueError) as error:
        raise CaffeError(f'{path}: cannot be written ({reason(error)})') from None


def _replace(path: str, chunks: Iterable[Buffer]) -> None:
    folder, name = os.path.split(path)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f'.{name}.')
    try:
        os.close(handle)
        os.chmod(temporary, 0o666 & ~_umask())
        _write(temporary, chunks, on_disk=True)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _write(path: str, chunks: Iterable[Buffer], on_disk: bool = False) -> None:
    with open(path, 'wb') as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        if on_disk:
            os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text_message(path: str | Path, message: Message) -> None:
    """Write a message as prototxt, whole or not at all."""
    write_bytes(path, text_format.MessageToString(message).encode())
