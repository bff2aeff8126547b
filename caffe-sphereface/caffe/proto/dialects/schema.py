"""The message classes of a dialect: BVLC's schema with the fields and numbers of one fork."""

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.dialects import table
from caffe.proto.dialects.descriptors import KIND, declare, kinds_in, set_type

OURS = 'sphereface'  # caffe.proto as it is
_PRIVATE = 10000  # and above: numbers that no fork uses
_SPHEREFACE = ('margin_inner_product_param', 'inter_class_param', 'normalize_param')
_ROOTS = ('NetParameter', 'SolverParameter', 'SolverState', 'BlobProtoVector', 'Datum')
_WEIGHTS = {
    'NetParameter': ('layer', 'layers'),
    'LayerParameter': ('name', 'type', 'blobs'),
    'V1LayerParameter': ('name', 'type', 'blobs', 'layer'),
    'V0LayerParameter': ('name', 'type', 'blobs'),
}


@cache
def names() -> tuple[str, ...]:
    """The dialects: this project's own schema and those of the forks in fields.tsv."""
    return (OURS, *sorted({name for field in table.fields() for name in field.dialects}))


def check_name(dialect: str) -> None:
    """CaffeError unless there is a dialect of that name."""
    if dialect not in names():
        raise CaffeError(f"no dialect '{dialect}', expected one of {', '.join(names())}")


@cache
def message_class(dialect: str, name: str) -> type[Message]:
    """The class of message `name` in a dialect, whose blobs hold bytes as those of caffe.proto.wire do."""
    return message_factory.GetMessageClass(_pool(dialect).FindMessageTypeByName(f'caffe.{name}'))


@cache
def weights_class() -> type[Message]:
    """NetParameter with the names and types of its layers and their blobs, and nothing else.

    Every other field, whose number may mean anything, is kept as it is and not looked into.
    """
    file = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(file)
    values_as_bytes(file)
    for message in file.message_type:
        for field in [field for field in message.field if field.name not in _WEIGHTS.get(message.name, (field.name,))]:
            message.field.remove(field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('caffe.NetParameter'))


@cache
def _pool(dialect: str) -> descriptor_pool.DescriptorPool:
    check_name(dialect)
    file = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(file)
    if dialect != OURS:
        _keep_bvlc(file)
        rows = [field for field in table.fields() if dialect in field.dialects]
        for row in rows:
            declare(file, row)
        kinds = kinds_in(file)
        for row in rows:
            _add(file, row, kinds)
    values_as_bytes(file)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def values_as_bytes(file: descriptor_pb2.FileDescriptorProto) -> None:
    """Declare the values of BlobProto as bytes: a packed `repeated float` looks the same on the wire."""
    blob = next(message for message in file.message_type if message.name == 'BlobProto')
    for field in blob.field:
        if field.name in ('data', 'diff', 'double_data', 'double_diff'):
            field.label, field.type = KIND.LABEL_OPTIONAL, KIND.TYPE_BYTES
            field.ClearField('options')


def _keep_bvlc(file: descriptor_pb2.FileDescriptorProto) -> None:
    """Leave of caffe.proto what BVLC and SphereFace have; SphereFace's three layer fields go, its messages stay."""
    for message in file.message_type:
        gone = [
            field
            for field in message.field
            if field.number >= _PRIVATE or (message.name == 'LayerParameter' and field.name in _SPHEREFACE)
        ]
        for field in gone:
            message.field.remove(field)
    kept = {'NormalizeParameter', 'MarginInnerProductParameter', 'InterClassParameter'}
    left, messages = list(_ROOTS), {message.name: message for message in file.message_type}
    while left:
        name = left.pop()
        if name in messages and name not in kept:
            kept.add(name)
            left += [field.type_name.split('.')[2] for field in messages[name].field if field.type_name]
    for message in [message for message in file.message_type if message.name not in kept]:
        file.message_type.remove(message)


def _add(file: descriptor_pb2.FileDescriptorProto, row: table.Field, kinds: dict[str, int]) -> None:
    """Put a row's field or enum value in, in place of those of its name or its number."""
    holder, number = declare(file, row), int(row.number)
    if row.label == 'enum':
        _replace(holder.value, row.field, number)
        return
    field = _replace(holder.field, row.field, number)
    field.label = KIND.Label.Value(f'LABEL_{row.label.upper()}')
    set_type(field, row, kinds)


def _replace(items: Any, name: str, number: int) -> Any:
    for item in [item for item in items if name == item.name or number == item.number]:
        items.remove(item)
    return items.add(name=name, number=number)
