"""The layers of a block refitted together."""

import numpy as np
import pytest
from residual_block import NET, model_of
from sphereslim.channels.groups import Groups
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import parse_net
from sphereslim.pruning.blocks import Block, blocks_of
from sphereslim.pruning.model import refit, slim
from sphereslim.pruning.reconstruct import Fit


@pytest.fixture
def model():
    return model_of(NET)


def batches(seed, number=4):
    rng = np.random.default_rng(seed)
    made = [{'data': rng.normal(size=(16, 3, 8, 8)).astype(np.float32)} for _ in range(number)]
    return lambda: iter(made)


def sums(model, feed):
    sampler = model.sampler(feed)
    return np.concatenate([blob for (blob,) in sampler.blobs([sampler.after('sum', 'sum')])])


def test_a_block_is_what_lies_between_two_points_of_a_trunk(model):
    assert blocks_of(model.groups, open_net(model.net)) == [['wide', 'each', 'back']]


def test_a_block_whose_inside_is_read_behind_it_is_none():
    text = NET.replace('bottom: "sum" top: "out"', 'bottom: "each" top: "out"')
    net = parse_net(text)
    assert blocks_of(Groups(net), open_net(net)) == []


def test_together_layers_give_the_trunk_better_than_one_by_one(model):
    kept = {'wide': np.arange(10)}
    wanted = sums(model, batches(9))

    def error(fit):
        refitted = refit(model, slim(model, kept), kept, batches(1), fit, every=True)
        return np.square(sums(refitted, batches(9)) - wanted).mean()

    assert error(Fit(64, together=12)) < 0.95 * error(Fit(64))


def test_the_gradients_of_a_block_are_those_of_its_error(model):
    net = open_net(model.net, model.weights, backward=True)
    block = Block(model.groups, net, ['wide', 'each', 'back'], np.random.default_rng(0))
    rng = np.random.default_rng(2)
    net.forward(data=rng.normal(size=(1, 3, 8, 8)))
    inputs = rng.normal(size=(5, 8, 8, 8)).astype(np.float32)
    block.see('wide', inputs, inputs)
    block.see('back', inputs, rng.normal(size=(5, 8, 8, 8)).astype(np.float32))
    block._error()
    blobs = [blob for name in block.names for blob in net.params[name]]
    values, slopes = ([np.array(part) for part in parts] for parts in zip(*((b.data, b.diff) for b in blobs)))
    step = 1e-6
    errors = []
    for way in (step, -step):
        for blob, value, slope in zip(blobs, values, slopes):
            blob.data[...] = value + way * slope
        errors.append(block._error(gradients=False))
    expected = sum(float(np.square(slope, dtype=np.float64).sum()) for slope in slopes)
    assert (errors[0] - errors[1]) / (2 * step) == pytest.approx(expected, rel=0.02)
