"""Nets that run from messages, and the weights of nets as messages."""

import tempfile
from pathlib import Path

from sphereslim.engine import caffe, caffe_pb2
from sphereslim.files import read_weights
from sphereslim.prototext import to_text


def run_net(net, weights=None, phase=caffe.TEST):
    """A caffe.Net of a NetParameter, with the weights of another in the layers of the same name."""
    with tempfile.TemporaryDirectory() as folder:
        prototxt, caffemodel = Path(folder, 'net.prototxt'), Path(folder, 'net.caffemodel')
        prototxt.write_text(to_text(net))
        result = caffe.Net(str(prototxt), phase)
        if weights is not None:
            caffemodel.write_bytes(weights.SerializeToString())
            result.copy_from(str(caffemodel))
    return result


def weights_of(net):
    """The NetParameter with all weights that a caffe.Net would save."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'net.caffemodel')
        net.save(str(path))
        return read_weights(path, caffe_pb2.NetParameter())
