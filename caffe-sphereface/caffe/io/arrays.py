"""Pictures and messages for nets: caffe.io of pycaffe.

Pictures are float32 arrays (height, width, channels) in RGB order with values from 0 to 1.
"""

from math import prod

import cv2
import numpy as np

from caffe.data.pictures import decode
from caffe.errors import CaffeError
from caffe.io.resize import resize_image
from caffe.io.transformer import Transformer
from caffe.proto import caffe_pb2
from caffe.proto.files import read_bytes
from caffe.proto.wire import blob_shape

# luminance of linear RGB (ITU-R BT.709), as scikit-image weighs it
_GREY = np.array([0.2125, 0.7154, 0.0721], np.float32)


def blobproto_to_array(blob, return_diff=False):
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


def array_to_blobproto(arr, diff=None):
    """A BlobProto with the shape and values of an array, and a diff where one is given."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).flat)
    if diff is not None:
        blob.diff.extend(diff.astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist):
    """The bytes of a BlobProtoVector that holds a list of arrays."""
    return caffe_pb2.BlobProtoVector(blobs=[array_to_blobproto(arr) for arr in arraylist]).SerializeToString()


def blobprotovector_str_to_arraylist(str):
    """The arrays in the bytes of a BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr, label=None):
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


def datum_to_array(datum):
    """The values of a Datum as an array (channels, height, width), uint8 or float; not for encoded pictures."""
    shape = datum.channels, datum.height, datum.width
    values = np.frombuffer(datum.data, np.uint8) if len(datum.data) else np.array(datum.float_data).astype(float)
    if min(shape) < 0 or prod(shape) != values.size:
        raise CaffeError(f'Datum: shape {shape} does not fit its {values.size} values')
    return values.reshape(shape)


def load_image(filename, color=True):
    """Read a picture as (height, width, 3), or (height, width, 1) grey with `color` False.

    Transparency is dropped. Raises CaffeError naming the file when it cannot be read or decoded.
    """
    image = decode(read_bytes(filename), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise CaffeError(f'{filename}: is not a picture that can be decoded')
    full = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1
    image = np.atleast_3d(image)[:, :, :3].astype(np.float32) / np.float32(full)
    if image.shape[2] == 3:
        image = np.ascontiguousarray(image[:, :, ::-1])
        return image if color else (image @ _GREY)[:, :, np.newaxis]
    return np.tile(image[:, :, :1], 3) if color else image[:, :, :1]


def oversample(images, crop_dims):
    """Ten crops a picture: four corners, the centre, and the five mirrored.

    `images` is a sequence of equal (height, width, channels); the result (10·n, *crop_dims, channels) float32.
    """
    height, width, channels = np.array(images[0]).shape
    crop_h, crop_w = (int(d) for d in crop_dims)
    tops = [0, 0, height - crop_h, height - crop_h, int(height / 2 - crop_h / 2)]
    lefts = [0, width - crop_w, 0, width - crop_w, int(width / 2 - crop_w / 2)]
    crops = np.empty((len(images), 10, crop_h, crop_w, channels), np.float32)
    for image, ten in zip(images, crops):
        for crop, top, left in zip(ten, tops, lefts):
            crop[...] = image[top : top + crop_h, left : left + crop_w]
        ten[5:] = ten[:5, :, ::-1]
    return crops.reshape(-1, crop_h, crop_w, channels)


__all__ = [
    'Transformer',
    'array_to_blobproto',
    'array_to_datum',
    'arraylist_to_blobprotovector_str',
    'blobproto_to_array',
    'blobprotovector_str_to_arraylist',
    'datum_to_array',
    'load_image',
    'oversample',
    'resize_image',
]
