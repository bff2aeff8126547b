"""What quantization costs: how far a network's outputs move, or the accuracy of a test network.

A measure is a callable (prototxt, caffemodel) -> float, so any evaluation can take its place.
"""

import importlib

import numpy as np

from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.evaluation.output_distance import cosine_distance
from sphereslim.quantize.quantized_net import blob_values


class OutputDistance:
    """`cosine_distance` over `images` of the outputs to those for the weights first loaded.

    Embeddings are compared by cosine, and unlike a squared error it stays bounded for a network that has broken down.

    `images` is (N, C, H, W) float32, as the network wants it; they pass `batch` at a time.
    """

    def __init__(self, prototxt, weights, images, batch=32):
        self.prototxt = str(prototxt)
        self.net = caffe.Net(self.prototxt, str(weights), caffe.TEST)
        self.images, self.batch = images, batch
        self.reference = self.outputs()

    def __call__(self, prototxt, weights):
        """The distance for the weights in a caffemodel; `prototxt` has to be the one given first."""
        if str(prototxt) != self.prototxt:
            raise SlimError(f'{prototxt}: outputs are compared for {self.prototxt}')
        self.net.copy_from(str(weights))
        return self.distance()

    def distance(self):
        """The distance for the weights now in `net.params`."""
        return cosine_distance(self.outputs(), self.reference)

    def outputs(self):
        """(N, D): all outputs of the net side by side."""
        rows = []
        for start in range(0, len(self.images), self.batch):
            part = self.images[start : start + self.batch]
            self.net.blobs[self.net.inputs[0]].reshape(*part.shape)
            self.net.blobs[self.net.inputs[0]].data[...] = part
            tops = self.net.forward()
            rows.append(np.concatenate([np.array(tops[name]).reshape(len(part), -1) for name in sorted(tops)], axis=1))
        return np.concatenate(rows).astype(np.float64)


def load_weights(net, quantized):
    """Puts the weights of a QuantizedNet into the layers of a caffe.Net that have its names."""
    for layer in quantized.layers:
        if layer.name in net.params:
            for blob, source in zip(net.params[layer.name], layer.blobs):
                blob.data[...] = blob_values(quantized, source).reshape(blob.data.shape)


def input_shape(prototxt):
    """(C, H, W) of the network's first input."""
    net = caffe.Net(str(prototxt), caffe.TEST)
    if not net.inputs:
        raise SlimError(f'{prototxt}: no input, expected a deploy prototxt')
    return tuple(net.blobs[net.inputs[0]].data.shape[1:])


def accuracy_of_test_phase(iterations, top='accuracy'):
    """A measure: mean of the scalar `top` over `iterations` batches of the TEST phase of a prototxt with its data."""

    def measure(prototxt, weights):
        net = caffe.Net(str(prototxt), str(weights), caffe.TEST)
        if top not in net.blobs:
            raise SlimError(f'{prototxt}: no blob {top} in its TEST phase')
        return float(np.mean([np.array(net.forward()[top]).mean() for _ in range(iterations)]))

    return measure


def named_measure(text):
    """The callable that `package.module:function` names."""
    module, _, function = text.partition(':')
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError):
        raise SlimError(f'{text}: expected module:function, a callable of (prototxt, caffemodel)') from None
