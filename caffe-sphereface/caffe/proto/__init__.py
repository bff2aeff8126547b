"""Messages of Caffe's files, and their text and binary forms."""

from caffe.proto import caffe_pb2, own_layers

__all__ = ['caffe_pb2']

own_layers.load_fields(caffe_pb2)
