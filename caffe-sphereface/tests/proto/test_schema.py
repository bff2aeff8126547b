"""The fields of caffe.proto: BVLC's and SphereFace's numbers, the forks' names, the private range."""

import csv

import pytest
from google.protobuf import descriptor_pb2
from repository import SHARED

from caffe.proto import caffe_pb2
from caffe.proto.files import read_net

PRIVATE = range(10000, 19000)
FIELD = descriptor_pb2.FieldDescriptorProto
LABELS = {number: name.removeprefix('LABEL_').lower() for name, number in FIELD.Label.items()}
TYPES = {number: name.removeprefix('TYPE_').lower() for name, number in FIELD.Type.items()}


def table(name):
    """The rows of a table of fields in the shared folder; skips the test where it is not there."""
    path = SHARED / 'spec' / name
    if not path.exists():
        pytest.skip(f'{path} is not here')
    with path.open() as file:
        return list(csv.DictReader(file, delimiter='\t'))


def schema(messages, outer=''):
    """{(dotted message or enum, field or value): (number, label, type)} of caffe.proto, as the table writes them."""
    found = {}
    for message in messages:
        name = outer + message.name
        for field in message.field:
            kind = field.type_name or TYPES[field.type]
            found[name, field.name] = str(field.number), LABELS[field.label], kind.split('.')[-1]
        found |= schema(message.nested_type, f'{name}.') | enums(message.enum_type, f'{name}.')
    return found


def enums(types, outer=''):
    """The same of enums."""
    return {(outer + kind.name, value.name): (str(value.number), 'enum', '') for kind in types for value in kind.value}


def test_fields_of_bvlc_and_sphereface_keep_their_numbers():
    rows = table('caffe-proto-fields.tsv')
    assert len(rows) == 561
    file = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(file)
    ours = schema(file.message_type) | enums(file.enum_type)
    for row in rows:
        key = row['message'], row['field']
        assert ours[key] == (row['number'], row['label'], row['type'].split('.')[-1]), key


def test_no_fork_uses_a_private_number():
    assert not [row for row in table('fork-proto-fields.tsv') if int(row['number'] or 0) in PRIVATE]


@pytest.mark.parametrize('path', sorted((SHARED / 'goldens' / 'fork-layers').glob('*.prototxt')), ids=lambda p: p.stem)
def test_nets_of_fork_layers_are_read(path):
    assert len(read_net(path).layer) > 1
