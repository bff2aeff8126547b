"""Caffemodels, their layers and blobs."""

import numpy as np

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.weights import blob_array, read_weights, set_blob_array


def read_caffemodel(path):
    """The NetParameter in a binary caffemodel; raises SlimError naming the file."""
    net = read_weights(path)
    if not any(layer.blobs for layer in net_layers(net)):
        raise SlimError(f'{path}: no layer with weights in it, expected a caffemodel')
    return net


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


def finite_array(blob, where):
    """Weights as float32 in the blob's shape; `where` names the blob in errors."""
    try:
        data = blob_array(blob).astype(np.float32)
    except SlimError as error:
        raise SlimError(f'{where}: {error}') from None
    if not np.isfinite(data).all():
        raise SlimError(f'{where}: infinite or not-a-number weights')
    return data


def fill_blob(blob, values, legacy):
    """Writes float32 `values` and their shape into a new BlobProto."""
    if not legacy:
        blob.shape.SetInParent()
    set_blob_array(blob, values)
