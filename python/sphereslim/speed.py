"""How long nets take forward, measured in turns in one process so that a busy machine slows them alike."""

import time

import numpy as np

from sphereslim.engine import caffe


def forward_milliseconds(models, batch=16, rounds=15, progress=iter):
    """Least milliseconds an image of each (deploy prototxt, caffemodel) in `models`, batches of random pictures.

    The least of `rounds`, since whatever else the machine does only adds to the time.
    """
    nets = [_ready(deploy, weights, batch) for deploy, weights in models]
    times = [[] for _ in nets]
    for _ in progress(range(rounds)):
        for net, taken in zip(nets, times):
            net.forward()  # untimed: the net before has filled the caches with its own weights
            start = time.perf_counter()
            net.forward()
            taken.append((time.perf_counter() - start) * 1000 / batch)
    return [min(taken) for taken in times]


def _ready(deploy, weights, batch):
    net = caffe.Net(str(deploy), str(weights), caffe.TEST)
    data = net.blobs[net.inputs[0]]
    data.reshape(batch, *data.data.shape[1:])
    net.reshape()
    data.data[...] = np.random.default_rng(0).standard_normal(data.data.shape)
    net.forward()
    return net
