"""Pictures and messages for nets, under the names of pycaffe's caffe.io."""

from caffe.io.messages import (
    array_to_blobproto,
    array_to_datum,
    arraylist_to_blobprotovector_str,
    blobproto_to_array,
    blobprotovector_str_to_arraylist,
    datum_to_array,
)
from caffe.io.pictures import load_image, oversample
from caffe.io.resize import resize_image
from caffe.io.transformer import Transformer
from caffe.proto import caffe_pb2

__all__ = [
    'Transformer',
    'array_to_blobproto',
    'array_to_datum',
    'arraylist_to_blobprotovector_str',
    'blobproto_to_array',
    'blobprotovector_str_to_arraylist',
    'caffe_pb2',
    'datum_to_array',
    'load_image',
    'oversample',
    'resize_image',
]
