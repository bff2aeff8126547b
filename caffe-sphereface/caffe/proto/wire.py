"""Weights in binary files without the cost of protobuf's repeated floats.

A packed `repeated float` and a `bytes` field look the same on the wire. The messages made here are those of caffe.proto
with the value fields of BlobProto declared as bytes, so that numpy reads and writes them in one piece.
"""

from math import prod

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.files import read_bytes, whole

_VALUES = {'data': '<f4', 'diff': '<f4', 'double_data': '<f8', 'double_diff': '<f8'}


def _raw_pool():
    file = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(file)
    blob = next(m for m in file.message_type if m.name == 'BlobProto')
    for field in blob.field:
        if field.name in _VALUES:
            field.label, field.type = field.LABEL_OPTIONAL, field.TYPE_BYTES
            field.ClearField('options')
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


_POOL = _raw_pool()


def raw_class(name):
    """The message class `name` of caffe.proto with byte-valued blobs."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f'caffe.{name}'))


def parse_raw(path, name):
    """Parse a binary file as message `name`; CaffeError naming the file when it is cut short or something else."""
    content = read_bytes(path)
    message = raw_class(name)()
    try:
        message.ParseFromString(content)
    except DecodeError:
        raise CaffeError(
            f'{path}: is not a whole binary {name} ({len(content)} bytes; truncated or another format)'
        ) from None
    return whole(message, path)


def blob_shape(blob):
    """The shape that a (raw or plain) BlobProto states, old num/channels/height/width form included."""
    if blob.HasField('shape'):
        return tuple(blob.shape.dim)
    if any(blob.HasField(f) for f in ('num', 'channels', 'height', 'width')):
        return (blob.num, blob.channels, blob.height, blob.width)
    return None


def blob_array(blob, origin):
    """The values of a raw BlobProto as a read-only float32 array of its shape.

    `origin` names file and layer in errors: CaffeError when the shape claims another count than the values have.
    """
    kind = 'double_data' if blob.double_data else 'data'
    values = getattr(blob, kind)
    size = np.dtype(_VALUES[kind]).itemsize
    shape = blob_shape(blob)
    shape = (len(values) // size,) if shape is None else shape
    if min(shape, default=0) < 0 or prod(shape) * size != len(values):
        raise CaffeError(f'{origin}: shape {shape} claims {prod(shape)} values, the file holds {len(values) // size}')
    return np.frombuffer(values, _VALUES[kind]).astype(np.float32, copy=False).reshape(shape)


def fill_blob(blob, array, field='data'):
    """Put an array's shape and values into a raw BlobProto."""
    blob.shape.dim[:] = array.shape
    setattr(blob, field, np.ascontiguousarray(array, '<f4').tobytes())


def read_weights(path):
    """The layers of a .caffemodel in order: a list of (layer name, [arrays]), for every age of the format."""
    net = parse_raw(path, 'NetParameter')
    layers = [layer for layer in (*net.layer, *net.layers)]
    named = [
        layer.layer if layer.DESCRIPTOR.name == 'V1LayerParameter' and layer.HasField('layer') else layer
        for layer in layers
    ]
    if not named:
        raise CaffeError(f'{path}: holds no layers, expected a .caffemodel')
    try:
        return [
            (
                layer.name,
                [blob_array(blob, f"{path}: layer '{layer.name}', blob {i}") for i, blob in enumerate(layer.blobs)],
            )
            for layer in named
        ]
    except UnicodeDecodeError:
        raise CaffeError(f'{path}: has a layer name that is not UTF-8 text') from None


def move_to_master_numbers(message):
    """Serialise a (raw or plain) NetParameter with Swish and Clip parameters under the numbers of BVLC master."""
    for layer in message.layer:
        for ours, theirs in (('swish_param', 'margin_inner_product_param'), ('clip_param', 'inter_class_param')):
            if layer.HasField(ours):
                getattr(layer, theirs).ParseFromString(getattr(layer, ours).SerializeToString())
                layer.ClearField(ours)
    return message.SerializeToString()
