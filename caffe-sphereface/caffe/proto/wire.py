"""Weights in binary files without the cost of protobuf's repeated floats.

A packed `repeated float` and a `bytes` field look the same on the wire. The messages made here are those of caffe.proto
with the value fields of BlobProto declared as bytes, so that numpy reads and writes them in one piece.
"""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, dialects
from caffe.proto.dialects.schema import OURS, message_class, weights_class
from caffe.proto.files import read_bytes, whole

_RAW = {
    caffe_pb2.BlobProto.DOUBLE: '<f8',
    caffe_pb2.BlobProto.FLOAT: '<f4',
    caffe_pb2.BlobProto.FLOAT16: '<f2',
    caffe_pb2.BlobProto.INT: '<i4',
    caffe_pb2.BlobProto.UINT: '<u4',
    caffe_pb2.BlobProto.BOOL: '|b1',
}


def raw_class(name: str) -> type[Any]:
    """The message class `name` of caffe.proto with byte-valued blobs."""
    return message_class(OURS, name)


def parse_raw(path: str | Path, name: str) -> Any:
    """Parse a binary file as message `name`; CaffeError naming the file when it is cut short or something else."""
    return whole(_parse(path, raw_class(name)), path)


def _parse(path: str | Path, kind: type[Any]) -> Any:
    content = read_bytes(path)
    try:
        return kind.FromString(content)
    except DecodeError:
        name = kind.DESCRIPTOR.name
        raise CaffeError(
            f'{path}: is not a whole binary {name} ({len(content)} bytes; truncated or another format)'
        ) from None


def read_net(path: str | Path, dialect: str | None = None) -> tuple[Any, str]:
    """(the raw NetParameter in a binary file of any dialect, its dialect, guessed where `dialect` is None or '').

    Raises CaffeError naming the file when it cannot be read, leaves the dialect in doubt, or has fields that are not
    implemented.
    """
    return dialects.read_net(read_bytes(path), path, dialect)


def blob_shape(blob: caffe_pb2.BlobProto) -> tuple[int, ...] | None:
    """The shape that a (raw or plain) BlobProto states, old num/channels/height/width form included."""
    width = _width_of_c3d(blob)
    if width is not None:
        return (blob.num, blob.channels, blob.height, blob.width, width)
    if blob.HasField('shape'):
        return tuple(blob.shape.dim)
    if any(blob.HasField(f) for f in ('num', 'channels', 'height', 'width')):
        return (blob.num, blob.channels, blob.height, blob.width)
    return None


def blob_array(blob: caffe_pb2.BlobProto, origin: str | Path) -> npt.NDArray[np.float32]:
    """The values of a raw BlobProto as a read-only float32 array of its shape.

    `origin` names file and layer in errors: CaffeError when the shape claims another count than the values have.
    """
    values, kind = _values(blob)
    size = np.dtype(kind).itemsize
    shape = blob_shape(blob)
    shape = (len(values) // size,) if shape is None else shape
    if min(shape, default=0) < 0 or prod(shape) * size != len(values):
        raise CaffeError(f'{origin}: shape {shape} claims {prod(shape)} values, the file holds {len(values) // size}')
    return np.frombuffer(values, kind).astype(np.float32, copy=False).reshape(shape)


def _values(blob: caffe_pb2.BlobProto) -> tuple[bytes, str]:
    """(the bytes of a raw BlobProto's values, their numpy type), NVIDIA's and C3D's forms included."""
    if _width_of_c3d(blob) is not None:
        return blob.diff, '<f4'
    if blob.double_data:
        return blob.double_data, '<f8'
    if blob.raw_data:
        return blob.raw_data, _RAW[blob.raw_data_type]
    return blob.data, '<f4'


def _width_of_c3d(blob: caffe_pb2.BlobProto) -> int | None:
    """The width of a BlobProto of C3D's first version, None for others.

    It has the length behind num and channels, and all that follows under the next number: height is `width` here, the
    width stands where the values are, and the values where the diff is.
    """
    if blob.data or blob.HasField('shape') or not blob.HasField('num'):
        return None
    found = [field.data for field in UnknownFieldSet(blob) if (field.field_number, field.wire_type) == (5, 0)]
    return found[0] if found else None


def fill_blob(blob: caffe_pb2.BlobProto, array: npt.NDArray[Any], field: str = 'data') -> None:
    """Put an array's shape and values into a raw BlobProto."""
    blob.shape.dim[:] = array.shape
    setattr(blob, field, np.ascontiguousarray(array, '<f4').tobytes())


def read_weights(path: str | Path) -> list[tuple[str, list[npt.NDArray[np.float32]]]]:
    """The layers of a .caffemodel of any age and dialect, in order: a list of (layer name, [arrays])."""
    net = _parse(path, weights_class())
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


def move_to_master_numbers(message: caffe_pb2.NetParameter) -> bytes:
    """Serialise a (raw or plain) NetParameter with Swish and Clip parameters under the numbers of BVLC master."""
    for layer in message.layer:
        for ours, theirs in (('swish_param', 'margin_inner_product_param'), ('clip_param', 'inter_class_param')):
            if layer.HasField(ours):
                getattr(layer, theirs).ParseFromString(getattr(layer, ours).SerializeToString())
                layer.ClearField(ours)
    return message.SerializeToString()
