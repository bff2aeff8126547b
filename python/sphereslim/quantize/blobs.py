"""Weights in and out of Caffe's BlobProto, and caffemodel files."""

import os

import numpy as np
from google.protobuf.message import DecodeError

from sphereslim.engine import caffe_pb2
from sphereslim.quantize.errors import QuantizeError

_HDF5 = b'\x89HDF\r\n\x1a\n'


def read_net(path):
    """The NetParameter in a binary caffemodel; raises QuantizeError naming the file."""
    data = read_bytes(path)
    if data.startswith(_HDF5):
        raise QuantizeError(f'{path}: HDF5 weights, expected a binary caffemodel (load it and save() one)')
    net = caffe_pb2.NetParameter()
    try:
        net.ParseFromString(data)
    except DecodeError:
        raise QuantizeError(f'{path}: not a caffemodel or cut short ({len(data)} bytes)') from None
    if not any(layer.blobs for layer in net_layers(net)):
        raise QuantizeError(f'{path}: no layer with weights in it, expected a caffemodel')
    return net


def read_bytes(path):
    """The file's bytes; raises QuantizeError naming the file."""
    try:
        with open(path, 'rb') as file:
            return file.read()
    except OSError as error:
        raise QuantizeError(f'{path}: {error.strerror}') from None


def write_bytes(path, data):
    """Writes to a temporary name in the same folder, then renames."""
    temporary = f'{path}.{os.getpid()}.tmp'
    try:
        with open(temporary, 'wb') as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        raise QuantizeError(f'{path}: {error.strerror}') from None


def net_layers(net):
    """The layers of a NetParameter, or those of the V1 form when it is an old file."""
    return net.layer or net.layers


def type_name(layer):
    """Caffe's type name of a layer, V1 enumerations included (those with weights: INNER_PRODUCT -> InnerProduct)."""
    if isinstance(layer.type, str):
        return layer.type
    enum = caffe_pb2.V1LayerParameter.LayerType.Name(layer.type)
    return ''.join(word.capitalize() for word in enum.split('_'))


def is_legacy(blob):
    """Whether the blob's shape is given as num, channels, height, width."""
    return not blob.HasField('shape') and any(map(blob.HasField, ('num', 'channels', 'height', 'width')))


def blob_shape(blob):
    """The blob's dimensions as a tuple, always four for a legacy blob."""
    return (blob.num, blob.channels, blob.height, blob.width) if is_legacy(blob) else tuple(blob.shape.dim)


def blob_array(blob, where):
    """Weights as float32 in the blob's shape; `where` names the blob in errors."""
    data = np.array(blob.double_data or blob.data, np.float32)
    shape = blob_shape(blob)
    if np.prod(shape, dtype=np.int64) != data.size:
        raise QuantizeError(f'{where}: {data.size} values, expected {shape}')
    if not np.isfinite(data).all():
        raise QuantizeError(f'{where}: infinite or not-a-number weights')
    return data.reshape(shape)


def fill_blob(blob, values, legacy):
    """Writes float32 `values` and their shape into a BlobProto."""
    if legacy:
        blob.num, blob.channels, blob.height, blob.width = values.shape
    else:
        blob.shape.dim.extend(values.shape)
    blob.data.extend(values.reshape(-1).tolist())
