"""How long nets take forward, measured in turns in one process so that a busy machine slows them alike."""

import time

import numpy as np

from sphereslim.engine import caffe


def forward_milliseconds(models, batch=16, rounds=40, progress=iter):
    """Milliseconds an image in each of `rounds`, a list for each (deploy prototxt, caffemodel) in `models`.

    Batches of random pictures. What one round holds was measured within moments, so that on a busy machine the ratio
    of two nets is steadier round by round than that of their medians or of their best times.
    """
    nets = [_ready(deploy, weights, batch) for deploy, weights in models]
    times = [[] for _ in nets]
    for _ in progress(range(rounds)):
        for net, taken in zip(nets, times):
            net.forward()  # untimed: the net before has filled the caches with its own weights
            start = time.perf_counter()
            net.forward()
            taken.append((time.perf_counter() - start) * 1000 / batch)
    return times


def speed_ratio(original, times):
    """(median, lower and upper quartile) of how many times faster `times` are than `original`, round by round."""
    ratios = np.array(original) / np.array(times)
    return tuple(float(value) for value in np.quantile(ratios, [0.5, 0.25, 0.75]))


def _ready(deploy, weights, batch):
    net = caffe.Net(str(deploy), str(weights), caffe.TEST)
    data = net.blobs[net.inputs[0]]
    data.reshape(batch, *data.data.shape[1:])
    net.reshape()
    data.data[...] = np.random.default_rng(0).standard_normal(data.data.shape)
    net.forward()
    return net
