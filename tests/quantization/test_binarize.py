"""Binary weights in forward and backward, full precision for the update."""

from pathlib import Path

import numpy as np
import pytest
from sphereslim.commands.program import find_command
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.quantization import blob_values, read_caffemodel, read_quantized
from sphereslim.quantization.binarize import Binarizer, binary_layers, binary_weights

NET = """
layer { name: "data" type: "DummyData" top: "x" top: "y"
  dummy_data_param { shape { dim: 4 dim: 2 dim: 3 dim: 3 } shape { dim: 4 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "fc" type: "InnerProduct" bottom: "c" top: "f"
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "y" top: "loss" }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" weight_decay: 0.01 max_iter: 6 display: 0
snapshot_prefix: "run" random_seed: 3 test_interval: 3 test_iter: 2 type: "SGD"
"""


@pytest.fixture
def solver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('net.prototxt').write_text(NET)
    Path('solver.prototxt').write_text(SOLVER)
    return caffe.get_solver('solver.prototxt')


def test_binary_weights_by_hand():
    np.testing.assert_array_equal(binary_weights(np.array([[1, -3], [0, 0.5]], np.float32)), [[2, -2], [0.25, 0.25]])


def test_which_layers(solver):
    assert binary_layers(solver.net) == ['conv', 'fc']
    assert binary_layers(solver.net, 'conv') == ['conv']
    assert binary_layers(solver.net, keep=['conv']) == ['fc']
    with pytest.raises(SlimError, match='layer nowhere'):
        binary_layers(solver.net, keep=['nowhere'])


def test_gradient_of_binary_weights_updates_full_precision(solver):
    seen = {}
    blob = solver.net.params['fc'][0]
    full = blob.data.copy()
    binarizer = Binarizer(solver.net, ['conv', 'fc'])
    binarizer.attach(solver)
    solver.add_callback(
        lambda: seen.update(forward=blob.data.copy()),
        lambda: seen.update(update=blob.data.copy(), gradient=blob.diff.copy()),
    )
    solver.step(1)
    np.testing.assert_array_equal(seen['forward'], binary_weights(full))
    np.testing.assert_array_equal(seen['update'], full)
    np.testing.assert_allclose(blob.data, full - 0.1 * (seen['gradient'] + 0.01 * full), rtol=1e-5, atol=1e-7)
    assert np.abs(seen['gradient']).max() > 0


def test_loss_falls_with_binary_weights(solver):
    binarizer = Binarizer(solver.net, ['conv', 'fc'])
    binarizer.attach(solver)
    with binarizer.binary():
        before = float(solver.net.forward()['loss'])
    solver.step(40)
    with binarizer.binary():
        assert float(solver.net.forward()['loss']) < 0.7 * before


def test_interrupted_iteration_leaves_full_precision(solver):
    binarizer = Binarizer(solver.net, ['fc'])
    full = solver.net.params['fc'][0].data.copy()
    binarizer.to_binary()
    binarizer.to_full()
    binarizer.to_full()
    np.testing.assert_array_equal(solver.net.params['fc'][0].data, full)


def test_command_writes_binary_weights(solver, capsys):
    main = find_command('binarize').run
    main(['--solver', 'solver.prototxt', '--out', 'out', '--layers', 'conv'])
    assert 'binary test: loss' in ''.join(capsys.readouterr())
    stored, weights = read_quantized('out.qcaffemodel'), read_caffemodel('out.caffemodel')
    conv = next(layer for layer in stored.layers if layer.name == 'conv')
    values = blob_values(stored, conv.blobs[0])
    assert all(len(np.unique(np.abs(row))) == 1 for row in values)
    layer = next(layer for layer in weights.layer if layer.name == 'conv')
    np.testing.assert_array_equal(np.array(layer.blobs[0].data, np.float32).reshape(values.shape), values)


def test_command_goes_on_from_a_snapshot(solver):
    main = find_command('binarize').run
    solver.step(2)
    solver.snapshot()
    main(['--solver', 'solver.prototxt', '--out', 'out', '--snapshot', 'run_iter_2.solverstate'])
    assert Path('out.qcaffemodel').exists()
