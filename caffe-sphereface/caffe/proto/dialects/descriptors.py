"""Schemas in the making: messages, enums and fields of descriptors, as rows of fields.tsv state them."""

from typing import Any

from google.protobuf import descriptor_pb2

from caffe.proto.dialects import table

KIND = descriptor_pb2.FieldDescriptorProto


def declare(file: descriptor_pb2.FileDescriptorProto, row: table.Field) -> Any:
    """Make the message, or the enum, that a row belongs to, with those around it."""
    around, *rest = row.message.split('.')
    if row.label == 'enum' and not rest:
        return _named(file.enum_type, around)
    holder = _named(file.message_type, around)
    for name in rest[:-1]:
        holder = _named(holder.nested_type, name)
    if not rest:
        return holder
    return _named(holder.enum_type if row.label == 'enum' else holder.nested_type, rest[-1])


def _named(items: Any, name: str) -> Any:
    """The item of that name, made where there is none."""
    for item in items:
        if item.name == name:
            return item
    return items.add(name=name)


def kinds_in(file: descriptor_pb2.FileDescriptorProto) -> dict[str, int]:
    """{dotted name: TYPE_MESSAGE or TYPE_ENUM} of all messages and enums."""
    found = {enum.name: KIND.TYPE_ENUM for enum in file.enum_type}
    left = [('', message) for message in file.message_type]
    while left:
        outer, message = left.pop()
        name = outer + message.name
        found[name] = KIND.TYPE_MESSAGE
        found.update({f'{name}.{enum.name}': KIND.TYPE_ENUM for enum in message.enum_type})
        left += [(f'{name}.', inner) for inner in message.nested_type]
    return found


def set_type(field: descriptor_pb2.FieldDescriptorProto, row: table.Field, kinds: dict[str, int]) -> None:
    """Give a field the type of a row, and its default if it takes one; `kinds` as `kinds_in` gives them."""
    if row.type in kinds:
        field.type, field.type_name = kinds[row.type], f'.caffe.{row.type}'
    else:
        field.type = KIND.Type.Value(f'TYPE_{row.type.upper()}')
    if row.default and field.label != KIND.LABEL_REPEATED:
        field.default_value = row.default
    else:
        field.ClearField('default_value')
