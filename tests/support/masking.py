"""What pruning is held against: the whole net run with the removed channels set to zero wherever they occur."""

import numpy as np
from sphereslim.channels.groups import Groups
from sphereslim.channels.surgery import prune
from sphereslim.net.opened import open_net, weights_of
from sphereslim.pruning.model import Model, slim


def masked_outputs(net, groups, mask, inputs):
    """Outputs of a caffe.Net of which every blob loses the channels that `mask` (a bool per channel id) drops."""
    _fill(net, inputs)
    for index, layer in enumerate(net._layer_names):
        net._forward(index, index)
        for top in net.top_names[layer]:
            flow = groups.trace.tops.get((layer, top))
            if flow is not None:
                _assert_true(flow, net.blobs[top].data.shape, top)
                block = net.blobs[top].data.shape[1] // len(flow.ids)
                net.blobs[top].data[:, ~np.repeat(mask[flow.ids], block)] = 0
    return {name: np.array(net.blobs[name].data) for name in net.outputs}


def assert_pruned_is_masked(proto, net, groups, kept, inputs):
    """A caffe.Net with the channels `kept` {group: units} gives what it gives with the others set to zero, to 1e-5.

    Returns the pruned weights.
    """
    (smaller,), weights = prune([proto], weights_of(net), kept, groups)
    expected = masked_outputs(net, groups, groups.keep_mask(kept), inputs)
    found = outputs(open_net(smaller, weights), inputs)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5 * max(1, np.abs(value).max()), err_msg=name)
    return weights


def _assert_true(flow, shape, name):
    """What a flow says of a blob has to hold of the blob that the net makes."""
    channels = len(flow.ids)
    assert shape[1] % channels == 0 if flow.flat else shape[1] == channels, f'{name}: {shape} of {channels} channels'
    assert not flow.single or np.prod(shape[1:]) == channels, f'{name}: {shape} is not one value for each channel'


def outputs(net, inputs):
    """Outputs of a caffe.Net."""
    _fill(net, inputs)
    net._forward(0, len(net._layer_names) - 1)
    return {name: np.array(net.blobs[name].data) for name in net.outputs}


def _fill(net, inputs):
    for name, array in inputs.items():
        net.blobs[name].reshape(*array.shape)
        net.blobs[name].data[...] = array


def randomize(net, rng):
    """Give every parameter of a caffe.Net numbers that make each channel matter, variances positive."""
    for layer, blobs in net.params.items():
        kind = net.layers[list(net._layer_names).index(layer)].type
        for blob in blobs:
            spread = 1 / np.sqrt(max(np.prod(blob.data.shape[1:]), 1)) if blob.data.ndim > 1 else 0.3
            blob.data[...] = rng.normal(0, spread, blob.data.shape)
        if kind == 'BatchNorm':
            blobs[1].data[...] = rng.uniform(0.5, 1.5, blobs[1].data.shape)
            blobs[2].data[...] = 1
        elif kind == 'BN' and len(blobs) == 4:
            blobs[3].data[...] = rng.uniform(0.5, 1.5, blobs[3].data.shape)
        elif kind == 'Scale':
            blobs[0].data[...] = rng.uniform(0.5, 1.5, blobs[0].data.shape)


def pruned(net, layers, seed=0):
    """A Model of a net with random weights, of which the groups of `layers` lost half of their channels at random."""
    rng = np.random.default_rng(seed)
    opened = open_net(net)
    randomize(opened, rng)
    groups = Groups(net)
    kept = {
        name: np.sort(rng.permutation(groups.of(name).size)[: max(1, groups.of(name).size // 2)]) for name in layers
    }
    return slim(Model(net, weights_of(opened), groups), kept)
