"""Freeing what backward has used up changes no number of a training run."""

import numpy as np

import caffe
from caffe.lean import free_while_training

NET = '''
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 4 dim: 3 dim: 12 dim: 12 } shape { dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" }
layer { name: "scale" type: "Scale" bottom: "norm" top: "norm" scale_param { bias_term: true } }
layer { name: "prelu" type: "PReLU" bottom: "norm" top: "norm" }
layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool" top: "conv2"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "sum" type: "Eltwise" bottom: "pool" bottom: "conv2" top: "sum" }
layer { name: "lrn" type: "LRN" bottom: "sum" top: "lrn" }
layer { name: "join" type: "Concat" bottom: "lrn" bottom: "sum" top: "join" }
layer { name: "fc" type: "InnerProduct" bottom: "join" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" }
'''


def solver_of(tmp_path):
    (tmp_path / 'net.prototxt').write_text(NET)
    (tmp_path / 'solver.prototxt').write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 9 iter_size: 2 '
        f'random_seed: 1 snapshot_prefix: "{tmp_path}/run"')
    solver = caffe.SGDSolver(str(tmp_path / 'solver.prototxt'))
    rng = np.random.default_rng(0)
    solver.net.blobs['data'].data[...] = rng.normal(size=(4, 3, 12, 12))
    solver.net.blobs['label'].data[...] = rng.integers(0, 5, 4)
    return solver


def test_same_training(tmp_path):
    full, lean = solver_of(tmp_path), solver_of(tmp_path)
    free_while_training(lean.net)
    for solver in (full, lean):
        solver.step(4)
    for name, blobs in full.net.params.items():
        for mine, theirs in zip(blobs, lean.net.params[name]):
            np.testing.assert_array_equal(mine.data, theirs.data, err_msg=name)
            np.testing.assert_array_equal(mine.diff, theirs.diff, err_msg=name)
    for name in full.net.outputs:
        np.testing.assert_array_equal(full.net.blobs[name].data, lean.net.blobs[name].data)


def test_only_the_lean_net_lets_go(tmp_path):
    full, lean = solver_of(tmp_path), solver_of(tmp_path)
    free_while_training(lean.net)
    for solver in (full, lean):
        solver.step(1)
    for name in ('conv', 'norm', 'pool', 'lrn', 'join', 'fc'):
        assert np.abs(full.net.blobs[name].data).max() > 0 and np.abs(full.net.blobs[name].diff).max() > 0
    assert not np.any(lean.net.blobs['join'].data) and not np.any(lean.net.blobs['norm'].diff)
