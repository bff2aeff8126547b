"""First weights fitted to the pictures: every filter of a convolution answers with mean 0 and variance 1.

Plain deep nets without norms answer to all pictures almost alike when they start, and take thousands of iterations to
tell them apart. Source: Krähenbühl et al., Data-dependent Initializations of Convolutional Neural Networks, ICLR 2016.
"""

from __future__ import annotations

import numpy as np

from sphereslim.engine import Blob, caffe

_LEAST = 1e-6  # of a filter's deviation: one that answers to everything alike is only moved to 0


def fit_start(net: caffe.Net) -> None:
    """Scale and shift the filters of a caffe.Net's convolutions with biases, by its next batch, layer after layer."""
    for index, name in enumerate(net._layer_names):
        net._forward(index, index)
        if net.layers[index].type == 'Convolution' and len(net.params[name]) == 2:
            weights, biases = net.params[name]
            _normalise(weights, biases, net.blobs[net.top_names[name][0]].data)
            net._forward(index, index)


def _normalise(weights: Blob, biases: Blob, answers: np.ndarray) -> None:
    mean, deviation = answers.mean(axis=(0, 2, 3)), np.maximum(answers.std(axis=(0, 2, 3)), _LEAST)
    weights.data[...] /= deviation[:, None, None, None]
    biases.data[...] = (biases.data - mean) / deviation
