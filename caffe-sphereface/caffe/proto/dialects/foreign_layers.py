"""The parameters of layers that other Caffes have and this one has not, as fields of caffe.proto.

So their nets are read and written whole, and only who builds one is told which layer is missing. The fields of all
Caffes that have a layer stand side by side, by name. Their numbers are private and may change: text has names, and
weights are found by the names of layers.
"""

from functools import cache

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor

from caffe.proto import caffe_pb2
from caffe.proto.dialects import table
from caffe.proto.dialects.descriptors import KIND, declare, kinds_in, set_type

_ENDINGS = 'Parameter', 'Paramter'  # the second is lightcnn's, and caffe-windows'
FIRST_NUMBER = 12000  # of the fields in LayerParameter


def add_foreign_layers(file: descriptor_pb2.FileDescriptorProto) -> None:
    """Put the parameters into a schema, with the messages and enums that they need and the schema has not."""
    rows = _rows({message.name for message in file.message_type})
    for row in rows:
        declare(file, row)
    kinds = kinds_in(file)
    for row in rows:
        holder = declare(file, row)
        if row.label == 'enum':
            if row.field not in {value.name for value in holder.value}:
                holder.value.add(name=row.field, number=_free(row.number, {value.number for value in holder.value}))
            continue
        known = {field.name: field for field in holder.field}
        field = known.get(row.field) or holder.field.add(name=row.field, number=len(holder.field) + 1)
        repeated = row.label == 'repeated' or field.label == KIND.LABEL_REPEATED
        field.label = KIND.LABEL_REPEATED if repeated else KIND.LABEL_OPTIONAL
        set_type(field, row, kinds)
    layer = next(message for message in file.message_type if message.name == 'LayerParameter')
    present = {field.name for field in layer.field}
    for number, (name, kind) in enumerate(sorted(foreign_parameters().items()), FIRST_NUMBER):
        if name not in present:
            field = layer.field.add(name=name, number=number, label=KIND.LABEL_OPTIONAL)
            field.type, field.type_name = KIND.TYPE_MESSAGE, f'.caffe.{kind}'


def foreign_of(layer: 'caffe_pb2.LayerParameter') -> list[str]:
    """The names of the parameters in a LayerParameter that only other Caffes have."""
    return [field.name for field, _ in layer.ListFields() if _is_foreign(field)]


def forks_with(layer: 'caffe_pb2.LayerParameter') -> list[str]:
    """The dialects that have a layer of a LayerParameter's type, as far as its name or its parameter tells."""
    stated, kind = foreign_of(layer), table.plain(layer.type)
    rows = (row for row in table.fields() if row.message == 'LayerParameter' and row.type.endswith(_ENDINGS))
    found = [row.dialects for row in rows if row.field in stated or kind in table.types_named(row.field, row.type)]
    return [*dict.fromkeys(name for dialects in found for name in dialects)]


def _is_foreign(field: FieldDescriptor) -> bool:
    return FIRST_NUMBER <= field.number < FIRST_NUMBER + len(foreign_parameters())


@cache
def foreign_parameters() -> dict[str, str]:
    """{name of a field of LayerParameter: its message} of all layers' parameters that other Caffes have."""
    return {
        row.field: row.type
        for row in table.fields()
        if row.message == 'LayerParameter' and row.type.endswith(_ENDINGS) and row.field not in _KEPT_OUT
    }


# not of a layer of their own: settings of every layer, which settings.tsv decides on
_KEPT_OUT = {name for message, name in table.settings() if message == 'LayerParameter'}


def _rows(present: set[str]) -> list[table.Field]:
    """The rows of the messages that the parameters need, without those that are `present`."""
    wanted, left = set(present), [*foreign_parameters().values()]
    found: list[table.Field] = []
    by_message: dict[str, list[table.Field]] = {}
    for row in table.fields():
        by_message.setdefault(row.message.split('.')[0], []).append(row)
    while left:
        name = left.pop().split('.')[0]
        if name not in wanted:
            wanted.add(name)
            found += by_message.get(name, [])
            left += [row.type for row in by_message.get(name, []) if row.label != 'enum' and row.type[:1].isupper()]
    return found


def _free(number: int, taken: set[int]) -> int:
    return number if number not in taken else max(taken) + 1
