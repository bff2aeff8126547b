"""Databases of small records, and nets that read them."""

import numpy as np

import caffe
from caffe.data.datum import planes_to_datum
from caffe.data.db import backend_named, new_database
from caffe.proto import caffe_pb2
from caffe.proto.files import parse_text


def net(text, phase=caffe.TEST):
    """A net of prototxt text."""
    return caffe.Net(parse_text(text, caffe_pb2.NetParameter(), 'test'), phase)


def planes(i):
    """A picture (2, 5, 4) that is like no other number's."""
    return np.full((2, 5, 4), i, np.uint8) + np.arange(4, dtype=np.uint8)


def write(path, records, backend='LMDB'):
    """A database of these records, bytes each, under eight digits."""
    with new_database(path, backend_named(backend)) as put:
        for i, record in enumerate(records):
            put(f'{i:08d}'.encode(), record)


def seven(backend='LMDB'):
    """The database `db` of the pictures 0 to 6, labelled by their numbers."""
    write('db', [planes_to_datum(planes(i), i).SerializeToString() for i in range(7)], backend)
