"""Nets that run from messages, and the weights of nets as messages."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from sphereslim.engine import caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.files import write_bytes
from sphereslim.net.messages import copy_of
from sphereslim.net.phases import TEST
from sphereslim.net.text import to_text
from sphereslim.net.weights import blob_shape, read_weights, set_blob_array, weight_layers


def open_net(
    net: caffe_pb2.NetParameter,
    weights: caffe_pb2.NetParameter | None = None,
    phase: int = TEST,
    backward: bool = False,
) -> caffe.Net:
    """A caffe.Net of a NetParameter, with the weights of another in the layers of the same name.

    A net without a loss runs backward only where `backward` asks for it (`force_backward`). SlimError names the layer
    that is wrong.
    """
    if backward:
        net = _without_measures(copy_of(net))
        net.force_backward = True
    with tempfile.TemporaryDirectory() as folder:
        prototxt, caffemodel = Path(folder, 'net.prototxt'), Path(folder, 'net.caffemodel')
        write_bytes(prototxt, to_text(net).encode())
        try:
            result = caffe.Net(str(prototxt), phase)
        except RuntimeError as error:
            raise SlimError(str(error).replace(str(prototxt), f"net '{net.name}'")) from None
        if weights is not None:
            write_bytes(caffemodel, weights.SerializeToString())
            result.copy_from(str(caffemodel))
    return result


def _without_measures(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A NetParameter less its Accuracy and ArgMax that nothing reads: they have no gradient that could be asked for."""
    read = {name for layer in net.layer for name in layer.bottom}
    kept = [layer for layer in net.layer if layer.type not in ('Accuracy', 'ArgMax') or read & set(layer.top)]
    del net.layer[:]
    net.layer.extend(kept)
    return net


def load_net(prototxt: str | Path, weights: str | Path, phase: int = TEST) -> caffe.Net:
    """A `caffe.Net` of a prototxt with the weights of a caffemodel, made in a way that no pycaffe calls deprecated."""
    net = caffe.Net(str(prototxt), phase)
    net.copy_from(str(weights))
    return net


def weights_of(net: caffe.Net) -> caffe_pb2.NetParameter:
    """The NetParameter with all weights that a caffe.Net would save."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'net.caffemodel')
        net.save(str(path))
        return read_weights(path)


def with_params(weights: caffe_pb2.NetParameter, net: caffe.Net) -> caffe_pb2.NetParameter:
    """A copy of a NetParameter of weights with the blobs that a caffe.Net's layers of the same names hold."""
    result = copy_of(weights)
    for name, layer in weight_layers(result).items():
        for blob, own in zip(layer.blobs, net.params.get(name, ())):
            set_blob_array(blob, np.array(own.data).reshape(blob_shape(blob)))
    return result
