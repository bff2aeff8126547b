"""Whole networks trained with CUDA graphs: after 30 iterations the weights of the written solver, to the bit."""

import numpy as np
import pytest
import torch
from benchmarks.nets import MOBILE, training_net
from sphereslim.engine import caffe
from sphereslim.net.prototxt import write_prototxt

from caffe.cuda_graphs.recording import Recording
from caffe.device import set_cuda_graphs
from gpu_mode import assert_same, gpu_mode

ITERATIONS = 30
STEPPING = 'base_lr: 0.01 lr_policy: "multistep" gamma: 0.1 stepvalue: 10 stepvalue: 20 '


@pytest.fixture
def replays(monkeypatch):
    seen, replay = [], Recording.replay
    monkeypatch.setattr(Recording, 'replay', lambda self: seen.append(self) or replay(self))
    return seen


def weights(folder, name, rates, smaller, graphs):
    """{parameter: values} after a training on other pictures in every iteration, in GPU mode."""
    net = training_net(name, 2)
    for layer in net.layer:
        # fewer classes, so that λ and the features count; smaller pictures, so that it does not take long
        layer.margin_inner_product_param.num_output = min(layer.margin_inner_product_param.num_output, 16)
        for shape in layer.input_param.shape:
            shape.dim[2:] = [size // smaller for size in shape.dim[2:]]
    write_prototxt(str(folder / 'train.prototxt'), net)
    (folder / 'solver.prototxt').write_text(
        f'net: "{folder}/train.prototxt" random_seed: 1 momentum: 0.9 weight_decay: 0.0005 {rates}'
    )
    with gpu_mode():
        set_cuda_graphs(graphs)
        solver = caffe.SGDSolver(str(folder / 'solver.prototxt'))
        values = np.random.default_rng(0)
        for _ in range(ITERATIONS):
            for blob in (solver.net.blobs['data'], solver.net.blobs['label']):
                draws = values.normal(size=blob.shape) if len(blob.shape) > 1 else values.integers(0, 16, blob.shape)
                blob.data[...] = draws
            solver.step(1)
        set_cuda_graphs(None)
        return {
            f'{name}[{i}]': blob.data.copy()
            for name, blobs in solver.net.params.items()
            for i, blob in enumerate(blobs)
        }


@pytest.mark.parametrize(
    'name, rates, smaller',
    [
        ('sphereface-4', STEPPING, 2),
        (MOBILE, STEPPING, 1),
        ('webface', 'base_lr: 0.001 lr_policy: "fixed" ', 1),
    ],
)
def test_thirty_replayed_iterations_give_the_weights_of_thirty_written_ones(tmp_path, replays, name, rates, smaller):
    written, replayed = (weights(tmp_path, name, rates, smaller, graphs) for graphs in (False, True))
    assert_same(written, replayed, 0 if not torch.cuda.is_available() else 5e-3)
    assert len(replays) >= ITERATIONS - 3 * 4
