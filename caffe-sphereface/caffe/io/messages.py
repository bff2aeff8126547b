"""Arrays to and from the messages of Caffe: BlobProto, BlobProtoVector, Datum."""

from collections.abc import Iterable
from math import prod

import numpy as np

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.wire import blob_shape


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> np.ndarray:
    """The data (or diff) of a BlobProto as an array of its shape.

    A single value without a shape is one without axes, several are a ValueError, as in pycaffe.
    """
    field = 'diff' if return_diff else 'data'
    values = np.array(getattr(blob, f'double_{field}') or getattr(blob, field))
    shape = blob_shape(blob)
    if shape is None and values.size != 1:
        raise ValueError(f'BlobProto: has {values.size} values and no shape, expected a shape or a single value')
    try:
        return values.reshape(shape or ())
    except ValueError:
        raise CaffeError(f'BlobProto: shape {shape} does not fit its {values.size} values') from None


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> caffe_pb2.BlobProto:
    """A BlobProto with the shape and values of an array, and a diff where one is given."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).flat)
    if diff is not None:
        blob.diff.extend(diff.astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[np.ndarray]) -> bytes:
    """The bytes of a BlobProtoVector that holds a list of arrays."""
    return caffe_pb2.BlobProtoVector(blobs=[array_to_blobproto(arr) for arr in arraylist]).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[np.ndarray]:
    """The arrays in the bytes of a BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr: np.ndarray, label: int | None = None) -> caffe_pb2.Datum:
    """A Datum from an array (channels, height, width): bytes for uint8, floats for everything else."""
    if arr.ndim != 3:
        raise CaffeError(f'array_to_datum: has shape {arr.shape}, expected (channels, height, width)')
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> np.ndarray:
    """The values of a Datum as an array (channels, height, width), uint8 or float; not for encoded pictures."""
    shape = datum.channels, datum.height, datum.width
    values = np.frombuffer(datum.data, np.uint8) if len(datum.data) else np.array(datum.float_data).astype(float)
    if min(shape) < 0 or prod(shape) != values.size:
        raise CaffeError(f'Datum: shape {shape} does not fit its {values.size} values')
    return values.reshape(shape)
