"""Datums, the records of image databases: raw planes, floats, or an encoded picture."""

from math import prod

import numpy as np
from google.protobuf.message import DecodeError

from caffe.data.pictures import decode_picture
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


def parse_datum(content: bytes) -> caffe_pb2.Datum:
    """A Datum from bytes."""
    try:
        return caffe_pb2.Datum.FromString(content)
    except DecodeError:
        raise CaffeError(f'is not a Datum ({len(content)} bytes)') from None


def datum_planes(datum: caffe_pb2.Datum) -> np.ndarray:
    """The values of a Datum that is not encoded as (channels, height, width), uint8 or float32.

    CaffeError when the dimensions claim another count than there is.
    """
    values = np.frombuffer(datum.data, np.uint8) if datum.data else np.array(datum.float_data, np.float32)
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) < 1 or prod(shape) != len(values):
        raise CaffeError(f'the Datum claims {shape} values (channels, height, width), it holds {len(values)}')
    return values.reshape(shape)


def datum_picture(datum: caffe_pb2.Datum, color: bool | None = None) -> np.ndarray:
    """The picture of an encoded Datum (height, width[, 3]): BGR if `color`, grey if False, as stored if None."""
    return decode_picture(datum.data, 'the encoded picture', color)


def planes_to_datum(planes: np.ndarray, label: int) -> caffe_pb2.Datum:
    """A Datum of uint8 values (channels, height, width)."""
    channels, height, width = planes.shape
    return caffe_pb2.Datum(
        channels=channels, height=height, width=width, data=planes.tobytes(), label=label, encoded=False
    )
