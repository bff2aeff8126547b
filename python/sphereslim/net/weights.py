"""Caffemodels, and numpy arrays out of their blobs and back into them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from sphereslim.engine import caffe_pb2, named_blobs
from sphereslim.errors import SlimError
from sphereslim.files import read_bytes, write_bytes

_DATA_TAG = b'\x2a'  # wire tag of BlobProto.data: field 5, length-delimited
_RAW_TYPES = ('<f8', '<f4', '<f2', '<i4', '<u4', '|b1')  # by BlobProto.raw_data_type
_DOUBLE_DATA_TAG = b'\x42'  # wire tag of BlobProto.double_data: field 8, length-delimited


def read_weights(path: str | Path) -> caffe_pb2.NetParameter:
    """The NetParameter in a binary caffemodel; SlimError naming the file when it is cut short or something else."""
    content = read_bytes(path)
    try:
        weights = _parsed(content)
    except (DecodeError, ValueError):  # ValueError: text that is no UTF-8
        raise SlimError(
            f'{path}: is not a whole caffemodel ({len(content)} bytes, cut short or another format)'
        ) from None
    if not weights.layer and not weights.layers:
        raise SlimError(f'{path}: holds no layers, expected a caffemodel')
    return weights


def write_weights(path: str | Path, weights: caffe_pb2.NetParameter) -> None:
    """Write a NetParameter of weights as a binary caffemodel, whole or not at all."""
    write_bytes(path, weights.SerializeToString())


def _parsed(content: bytes) -> caffe_pb2.NetParameter:
    """A NetParameter out of bytes; of a fork's, whose numbers mean other things here, names, types and blobs alone."""
    try:
        return caffe_pb2.NetParameter.FromString(content)
    except DecodeError:
        return named_blobs(content)


def weight_layers(weights: caffe_pb2.NetParameter) -> dict[str, caffe_pb2.LayerParameter]:
    """{layer name: layer message} of the layers of a NetParameter that hold blobs, old `layers` messages included."""
    return {layer.name: layer for layer in (*weights.layer, *weights.layers) if len(layer.blobs)}


def blob_shape(blob: caffe_pb2.BlobProto) -> tuple[int, ...]:
    """The shape of a BlobProto as a tuple: its `shape`, or the four legacy fields num, channels, height, width."""
    if blob.HasField('shape') or not any(blob.HasField(f) for f in ('num', 'channels', 'height', 'width')):
        return tuple(int(d) for d in blob.shape.dim)
    return (blob.num, blob.channels, blob.height, blob.width)


def blob_array(blob: caffe_pb2.BlobProto) -> npt.NDArray[Any]:
    """The values of a BlobProto as a float32 (float64 for `double_data`) array of its shape."""
    values = _values(blob)
    shape = blob_shape(blob)
    if values.size != np.prod(shape, dtype=np.int64):
        raise SlimError(f'a blob of shape {shape} holds {values.size} numbers')
    return values.reshape(shape)


def _values(blob: caffe_pb2.BlobProto) -> npt.NDArray[Any]:
    if len(blob.double_data):
        return np.array(blob.double_data, np.float64)
    if getattr(blob, 'raw_data', b''):  # NVIDIA's form, of which not every Caffe's schema has the field
        return np.frombuffer(blob.raw_data, _RAW_TYPES[blob.raw_data_type]).astype(np.float32)
    return np.array(blob.data, np.float32)


def set_blob_array(blob: caffe_pb2.BlobProto, array: npt.NDArray[Any]) -> None:
    """Replace the values of a BlobProto by `array`, in the precision and the kind of shape it has; drops its diff."""
    legacy, double = not blob.HasField('shape') and array.ndim == 4, len(blob.double_data) > 0
    blob.Clear()
    if legacy:
        blob.num, blob.channels, blob.height, blob.width = array.shape
    else:
        blob.shape.dim.extend(array.shape)
    raw = np.ascontiguousarray(array, '<f8' if double else '<f4').tobytes()
    # Parsing the packed wire form is a plain copy; extending the field one number at a time takes seconds.
    blob.MergeFromString((_DOUBLE_DATA_TAG if double else _DATA_TAG) + _varint(len(raw)) + raw)


def read_caffemodel(path: str | Path) -> caffe_pb2.NetParameter:
    """The NetParameter in a binary caffemodel; raises SlimError naming the file."""
    net = read_weights(path)
    if not any(layer.blobs for layer in net_layers(net)):
        raise SlimError(f'{path}: no layer with weights in it, expected a caffemodel')
    return net


def net_layers(net: caffe_pb2.NetParameter) -> Sequence[caffe_pb2.LayerParameter]:
    """The layers of a NetParameter, or those of the V1 form when it is an old file."""
    return net.layer or net.layers


def type_name(layer: caffe_pb2.LayerParameter) -> str:
    """Caffe's type name of a layer, V1 enumerations included (those with weights: INNER_PRODUCT -> InnerProduct)."""
    if isinstance(layer.type, str):
        return layer.type
    enum = caffe_pb2.V1LayerParameter.LayerType.Name(layer.type)
    return ''.join(word.capitalize() for word in enum.split('_'))


def is_legacy(blob: caffe_pb2.BlobProto) -> bool:
    """Whether the blob's shape is given as num, channels, height, width."""
    return not blob.HasField('shape') and any(map(blob.HasField, ('num', 'channels', 'height', 'width')))


def finite_array(blob: caffe_pb2.BlobProto, where: str) -> npt.NDArray[np.float32]:
    """Weights as float32 in the blob's shape; `where` names the blob in errors."""
    try:
        data = blob_array(blob).astype(np.float32)
    except SlimError as error:
        raise SlimError(f'{where}: {error}') from None
    if not np.isfinite(data).all():
        raise SlimError(f'{where}: infinite or not-a-number weights')
    return data


def fill_blob(blob: caffe_pb2.BlobProto, values: npt.NDArray[Any], legacy: bool) -> None:
    """Writes float32 `values` and their shape into a new BlobProto."""
    if not legacy:
        blob.shape.SetInParent()
    set_blob_array(blob, values)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
