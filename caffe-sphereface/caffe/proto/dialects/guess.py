"""Which dialect a binary net is written in, where it leaves no doubt."""

from functools import cache
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.dialects import table
from caffe.proto.dialects.schema import message_class, names


def dialect_of(rest: bytes, origin: str | Path) -> str:
    """The dialect in which all of a net (its bytes without blobs) has a meaning that fits the types of its layers.

    Raises CaffeError where there is none, or where several read it differently.
    """
    found = {name: net for name in names() if (net := _read(rest, name)) is not None}
    if not found:
        raise CaffeError(f'{origin}: has fields of no known dialect ({", ".join(names())})')
    strangers = {name: _strangers(net) for name, net in found.items()}
    readings: dict[str, list[str]] = {}
    for name, net in found.items():
        if strangers[name] == min(strangers.values()):
            readings.setdefault(text_format.MessageToString(net), []).append(name)
    if len(readings) > 1:
        raise CaffeError(
            f'{origin}: reads differently in the dialects '
            f'{" and ".join(", ".join(group) for group in readings.values())}; expected -dialect NAME'
        )
    return next(iter(readings.values()))[0]


def unknown_field(message: Message) -> str:
    """ "layer 'NAME': field N" for the first number, at any depth, that a message has no field for; '' without one."""
    for field in UnknownFieldSet(message):
        return f'field {field.field_number} of {message.DESCRIPTOR.name}'
    for field, value in message.ListFields():
        if field.message_type:
            for item in [value] if hasattr(value, 'ListFields') else value:
                inner = unknown_field(item)
                if inner:
                    is_layer = field.message_type.name in ('LayerParameter', 'V1LayerParameter')
                    return f"layer '{item.name}': {inner}" if is_layer else inner
    return ''


def _read(rest: bytes, dialect: str) -> 'caffe_pb2.NetParameter | None':
    try:
        net = message_class(dialect, 'NetParameter').FromString(rest)
    except DecodeError:
        return None
    return None if unknown_field(net) else net


def _strangers(net: 'caffe_pb2.NetParameter') -> int:
    """How many layers have the parameter of another layer type while there is one of their own."""
    count = 0
    for layer in net.layer:
        # protobuf gives bytes for text that is not UTF-8
        own = _parameters().get(table.plain(layer.type), set()) if isinstance(layer.type, str) else set()
        stated = {field.name for field, _ in layer.ListFields() if field.name in _parameter_names()}
        count += bool(own and stated - own - _SHARED)
    return count


# parameters that layers of many types have beside their own
_SHARED = {'transform_param', 'loss_param'}


@cache
def _parameters() -> dict[str, set[str]]:
    """{layer type without capitals: the names of the fields for its parameter}, of all dialects."""
    found: dict[str, set[str]] = {}
    ours = [(f.name, f.message_type.name) for f in caffe_pb2.LayerParameter.DESCRIPTOR.fields if f.message_type]
    for name, message in ours + [(f.field, f.type) for f in table.fields() if f.message == 'LayerParameter']:
        if name.endswith('_param'):
            for kind in table.types_named(name, message):
                found.setdefault(kind, set()).add(name)
    return found


@cache
def _parameter_names() -> set[str]:
    return {name for names in _parameters().values() for name in names}
