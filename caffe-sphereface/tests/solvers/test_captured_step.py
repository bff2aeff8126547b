"""Iterations as CUDA graphs: the weights of the solver as it is written, whatever happens between two iterations."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from caffe.cli.main import main
from caffe.device import cuda_graphs, set_cuda_graphs
from caffe.layers.activation.rectifiers import PReLU
from caffe.net import captured
from caffe.process_state import state
from gpu_mode import assert_same, gpu_mode, no_waiting, watch_replays
from training_run import write_pictures

FILLER = 'weight_filler { type: "xavier" }'
TRUNK = f"""
layer {{ name: "in" type: "Input" top: "data" top: "label"
  input_param {{ shape {{ dim: 4 dim: 3 dim: 7 dim: 6 }} shape {{ dim: 4 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 {FILLER} }} }}
layer {{ name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }}
layer {{ name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param {{ bias_term: true }} }}
layer {{ name: "prelu" type: "PReLU" bottom: "conv" top: "conv" }}
layer {{ name: "max" type: "Pooling" bottom: "conv" top: "max" pooling_param {{ kernel_size: 2 stride: 2 }} }}
"""
NETS = {
    'margin': f"""{TRUNK}
layer {{ name: "fc" type: "InnerProduct" bottom: "max" top: "fc" inner_product_param {{ num_output: 5 {FILLER} }} }}
layer {{ name: "angle" type: "MarginInnerProduct" bottom: "fc" bottom: "label" top: "angle" top: "lambda"
  param {{ name: "classes" }}
  margin_inner_product_param {{ num_output: 3 type: QUADRUPLE base: 10 gamma: 1 {FILLER} }} }}
layer {{ name: "spread" type: "InterClass" bottom: "fc" bottom: "label" top: "spread" param {{ name: "classes" }}
  inter_class_param {{ num_output: 3 type: MEAN alpha_start_iter: 6 alpha_start_value: 1 alpha_step: 1
    alpha_stepvalue: 9 {FILLER} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "angle" bottom: "label" top: "loss" }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "angle" bottom: "label" top: "accuracy" }}
""",
    'label margin': f"""{TRUNK}
layer {{ name: "fc" type: "InnerProduct" bottom: "max" top: "fc" inner_product_param {{ num_output: 3 {FILLER} }} }}
layer {{ name: "unit" type: "Normalize" bottom: "fc" top: "unit" }}
layer {{ name: "flat" type: "Flatten" bottom: "unit" top: "flat" }}
layer {{ name: "angle" type: "LabelSpecificMargin" bottom: "flat" bottom: "label" top: "angle" top: "margin"
  label_specific_margin_param {{ margin_base: 0 gamma: 1 power: 1 margin_max: 20 }} }}
layer {{ name: "add" type: "LabelSpecificAdd" bottom: "angle" bottom: "label" top: "add" top: "bias"
  label_specific_add_param {{ bias: -0.1 bias_base: 0 bias_gamma: 0.01 bias_power: -1 bias_max: 0 bias_min: -0.3 }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "add" bottom: "label" top: "loss" }}
""",
    'dropout': f"""{TRUNK}
layer {{ name: "drop" type: "Dropout" bottom: "max" top: "max" }}
layer {{ name: "random" type: "Pooling" bottom: "max" top: "random"
  pooling_param {{ pool: STOCHASTIC kernel_size: 2 stride: 1 }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "random" top: "fc" inner_product_param {{ num_output: 3 {FILLER} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }}
""",
}
SGD = 'momentum: 0.9 weight_decay: 0.01 '
FIXED = 'base_lr: 0.02 lr_policy: "fixed" '
STEPPING = 'base_lr: 0.02 lr_policy: "multistep" gamma: 0.1 stepvalue: 6 stepvalue: 12 '
FALLING = 'base_lr: 0.02 lr_policy: "inv" gamma: 0.1 power: 0.75 '


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(state.log, 'level', 0)
    monkeypatch.setattr(state, 'gpu_channels_last', False)
    monkeypatch.setenv('CAFFE_DATA_WORKERS', '1')
    yield tmp_path
    set_cuda_graphs(False)


@pytest.fixture
def replays(monkeypatch):
    return watch_replays(monkeypatch)


@pytest.fixture
def gpu(folder):
    with gpu_mode() as device:
        set_cuda_graphs(True)
        yield device


def solver(net='margin', settings=FIXED + SGD):
    """A solver on fixed weights and pictures."""
    Path('net.prototxt').write_text(NETS[net])
    Path('solver.prototxt').write_text(f'net: "net.prototxt" random_seed: 3 snapshot_prefix: "s" {settings}')
    made = caffe.get_solver('solver.prototxt')
    for each in (made.net, *made.test_nets):
        feed(each, 1)
    return made


def feed(net, seed):
    values = np.random.default_rng(seed)
    net.blobs['data'].data[...] = values.standard_normal(net.blobs['data'].shape)
    net.blobs['label'].data[...] = values.integers(0, 3, 4)


def state_of(made):
    """Parameters, outputs and history of a solver as arrays by name."""
    arrays = {name: made.net.blobs[name].data.copy() for name in made.net.outputs}
    for name, blobs in made.net.params.items():
        arrays.update((f'{name}[{i}]', blob.data.copy()) for i, blob in enumerate(blobs))
        arrays.update((f'{name}[{i}] diff', blob.diff.copy()) for i, blob in enumerate(blobs))
    arrays.update((f'history {i}', h.cpu().numpy().copy()) for i, h in enumerate(made.updater.history))
    return arrays


def assert_equal(one, other):
    assert_same(one, other, 0 if not torch.cuda.is_available() else 1e-4)


def course(net, settings, between=lambda made: None, steps=18, graphs=True):
    """The state after a training in GPU mode; `between` is called with the solver before each iteration."""
    with gpu_mode():
        set_cuda_graphs(graphs)
        made = solver(net, settings)
        for number in range(steps):
            feed(made.net, number)
            between(made)
            made.step(1)
        return state_of(made)


def both(net, settings, between=lambda made: None, steps=18):
    """That state without and with graphs."""
    return [course(net, settings, between, steps, graphs) for graphs in (False, True)]


@pytest.mark.parametrize(
    'net, settings',
    [
        ('margin', STEPPING + SGD),
        ('label margin', STEPPING + SGD),
        ('dropout', FIXED + SGD),
        ('margin', FIXED + SGD + 'clip_gradients: 0.5 regularization_type: "L1"'),
        ('margin', FALLING),
        ('margin', FALLING + SGD + 'type: "Nesterov"'),
        ('margin', FALLING + 'type: "AdaGrad"'),
        ('margin', FALLING + 'type: "RMSProp" rms_decay: 0.9'),
        ('margin', 'base_lr: 1 lr_policy: "exp" gamma: 0.9 momentum: 0.9 delta: 1e-3 type: "AdaDelta"'),
        ('margin', FIXED + 'momentum: 0.9 momentum2: 0.99 type: "Adam"'),
    ],
)
def test_a_replayed_training_has_the_weights_of_the_written_one(folder, replays, net, settings):
    assert_equal(*both(net, settings))
    assert len(replays) >= 8


@pytest.mark.parametrize('settings', [FALLING, FIXED + 'warmup_iter: 9 warmup_start_lr: 0.001 '])
@pytest.mark.parametrize('net', ['margin', 'dropout'])
def test_rates_that_change_with_every_iteration_are_read_on_the_device(folder, replays, monkeypatch, net, settings):
    replayed = course(net, settings + SGD)
    assert len(replays) >= 10
    assert_same(course(net, settings + SGD, graphs=False), replayed, 1e-4)  # other kernels round otherwise
    monkeypatch.setattr(captured, 'SETTLED', 1000)
    assert_equal(course(net, settings + SGD), replayed)


def test_a_replayed_iteration_waits_for_nothing_and_nothing_moves(gpu, replays):
    made = solver('dropout', FALLING + SGD + 'clip_gradients: 0.5 average_loss: 3 display: 100')
    made.step(5)
    learned = made.net.learnable
    diffs = [blob for blob, rate in zip(learned.blobs, learned.lr) if rate]

    def places():
        data = [blob.tensor.data_ptr() for blob in (*learned.blobs, *made.net.blobs.values())]
        return data + [blob.grad.data_ptr() for blob in diffs]

    before = places()
    with no_waiting(gpu):
        made.updater.tell_clipping = lambda: None
        made.step(5)
    assert places() == before
    assert len(replays) == 7


def test_losses_and_rates_in_the_log_are_those_of_the_written_training(folder, capsys):
    def lines(graphs):
        with gpu_mode():
            set_cuda_graphs(graphs)
            made = solver('margin', STEPPING + SGD + 'display: 4 average_loss: 3 max_iter: 17 clip_gradients: 0.5')
            capsys.readouterr()
            made.solve()
        text = [line.split('] ', 1)[1] for line in capsys.readouterr().err.splitlines() if 'CUDA graphs' not in line]
        return [re.sub(r' \(.*iter/s.*iters\)', '', line) for line in text]

    without, replayed = lines(False), lines(True)
    assert sorted(without) == sorted(replayed) and any('Gradient clipping' in line for line in replayed)
    of_solver = [line for line in replayed if 'clipping' not in line]
    assert of_solver == [line for line in without if 'clipping' not in line]


def set_weights(made):
    if made.iter in (5, 9):
        made.net.params['conv'][0].data[...] *= 0.5


def look_at_everything(made):
    if made.iter in (5, 8):
        assert all(np.isfinite(blob.data).all() and np.isfinite(blob.diff).all() for blob in made.net.blobs.values())
        made.net.blobs['conv'].data[...] = 7
        made.net.params['conv'][0].diff[...] = 7


def run_the_net(made):
    if made.iter == 6:
        made.net.forward()
        made.net.backward()


def snapshot_and_restore(made):
    if made.iter == 6:
        made.snapshot()
    if made.iter == 10 and not hasattr(made, 'was_restored'):
        made.was_restored = True
        made.restore('s_iter_6.solverstate')


def share(made):
    if made.iter == 6:
        made.other = caffe.Net('net.prototxt', caffe.TRAIN)
        for mine, theirs in zip(made.net.params['conv'], made.other.params['conv']):
            theirs.data[...] = mine.data / 2
        made.net.share_with(made.other)


def other_precision(made):
    if made.iter in (6, 12):
        caffe.set_precision('bf16' if made.iter == 6 else 'fp32')


def other_seed(made):
    if made.iter == 7:
        caffe.set_random_seed(5)


def switched_off_and_on(made):
    if made.iter == 6:
        made.wanted = cuda_graphs()
        set_cuda_graphs(False)
    if made.iter == 9:
        set_cuda_graphs(made.wanted)


def more_pictures(made):
    made.net.blobs['data'].reshape(4, 3, 7, 6 + (made.iter in (6, 7)))
    feed(made.net, made.iter)


@pytest.mark.parametrize(
    'between',
    [
        set_weights,
        look_at_everything,
        run_the_net,
        snapshot_and_restore,
        share,
        other_precision,
        other_seed,
        switched_off_and_on,
    ],
)
@pytest.mark.parametrize('net', ['margin', 'dropout'])
def test_what_happens_between_iterations_counts(folder, replays, between, net):
    assert_equal(*both(net, FIXED + SGD, between))
    assert len(replays) >= 3


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_pictures_with_their_channels_innermost_are_replayed_too(folder, replays, monkeypatch, precision):
    monkeypatch.setattr(state, 'gpu_channels_last', True)
    monkeypatch.setattr(state, 'precision', precision)
    assert_equal(*both('margin', STEPPING + SGD))
    assert len(replays) >= 8


def test_pictures_of_another_size_go_through_as_well(folder, replays, monkeypatch):
    monkeypatch.setitem(NETS, 'any size', re.sub('"max" type: "Pooling".*', '"max" type: "Pooling" bottom: "conv" '
                        'top: "max" pooling_param { global_pooling: true } }', NETS['margin']))  # fmt: skip
    assert_equal(*both('any size', FIXED + SGD, more_pictures))
    assert 3 <= len(replays) <= 12


def test_test_nets_see_the_weights_of_a_replayed_training(folder, replays):
    settings = FIXED + SGD + 'test_iter: 5 test_interval: 6'

    def outputs(graphs):
        seen = []
        course('margin', settings, lambda made: seen.append(made.test_nets[0].blobs['loss'].data.copy()), 20, graphs)
        return {str(k): array for k, array in enumerate(seen)}

    assert_equal(outputs(False), outputs(True))
    assert len({id(recording) for recording in replays}) >= 2  # the test nets' as well


class Peek:
    """A callback with a look at the gradients."""

    def on_start(self):
        pass

    def on_gradients_ready(self):
        pass


PYTHON_LAYER = (
    'layer { name: "user" type: "Python" bottom: "max" top: "max2" python_param { module: "user" layer: "User" } }'
)
USER = """
import caffe
class User(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top): top[0].data[...] = bottom[0].data
    def backward(self, top, down, bottom): bottom[0].diff[...] = top[0].diff
"""


@pytest.mark.parametrize(
    'settings, prepare, why',
    [
        ('iter_size: 2 ', None, 'iter_size is 2'),
        ('', lambda made: made.net.after_forward(lambda i: None), 'a hook looks at its layers'),
        ('debug_info: true ', None, 'a hook looks at its layers'),
        ('', lambda made: made.add_callback(Peek()), 'a callback, or another process, has to see the gradients'),
    ],
)
def test_what_cannot_be_captured_is_told_and_trains_as_written(gpu, replays, capsys, settings, prepare, why):
    states = []
    for graphs in (False, True):
        set_cuda_graphs(graphs)
        made = solver('margin', FIXED + SGD + settings)
        if prepare:
            prepare(made)
        made.step(6)
        states.append(state_of(made))
    assert_equal(*states)
    assert not replays
    assert capsys.readouterr().err.count(f'CUDA graphs: the training step is not captured: {why}') == 1


def test_a_rate_that_follows_the_loss_is_told(gpu, replays, capsys):
    solver('margin', SGD + 'base_lr: 0.1 lr_policy: "plateau" gamma: 0.1 plateau_winsize: 2').step(6)
    assert not replays and 'lr_policy plateau follows the loss of each iteration' in capsys.readouterr().err


@pytest.mark.parametrize('where', ['behind', 'before'])
def test_a_python_layer_runs_as_written(gpu, replays, capsys, monkeypatch, folder, where):
    Path('user.py').write_text(USER)
    monkeypatch.syspath_prepend(str(folder))
    text = PYTHON_LAYER + '\n' + re.sub('"fc" type: "InnerProduct" bottom: "max"', '"fc" type: "InnerProduct" '
                                        'bottom: "max2"', NETS['margin'].replace(TRUNK, ''))  # fmt: skip
    text = TRUNK + text
    if where == 'before':
        text = NETS['margin'].replace('"conv" type: "Convolution" bottom: "data"',
                                      '"conv" type: "Convolution" bottom: "max2"')  # fmt: skip
        start = text.index('layer { name: "conv"')
        text = text[:start] + PYTHON_LAYER.replace('"max"', '"data"') + text[start:]
    monkeypatch.setitem(NETS, 'python', text)
    assert_equal(*both('python', FIXED + SGD))
    told = capsys.readouterr().err
    if where == 'before':
        assert replays and 'not captured' not in told
    else:
        assert not replays and "not captured: layer 'user' (Python): is a program, which may do anything" in told


@pytest.mark.parametrize('reading', ['value', 'rows', 'constant'])
def test_a_layer_that_cannot_be_captured_after_all_is_told_and_trains_as_written(
    folder, replays, capsys, monkeypatch, reading
):
    infer = PReLU.infer

    def spoilt(self, x):
        if reading == 'value':
            float(x.sum())
        elif reading == 'rows':
            x[x > 0].sum()
        else:
            x = x + torch.zeros(1).to(x.device)
        return infer(self, x)

    monkeypatch.setattr(PReLU, 'infer', spoilt)
    assert_equal(*both('dropout', FIXED + SGD))
    assert not replays
    assert re.search(r"not captured: .*layer 'prelu' \(PReLU\).*not permitted", capsys.readouterr().err)


def test_the_command_trains_from_pictures_with_graphs(folder, replays, capfd):
    write_pictures(
        folder,
        solver='net: "net.prototxt" base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" max_iter: 12 display: 5 '
        'snapshot: 7 snapshot_prefix: "out" random_seed: 3 solver_mode: GPU',
    )
    weights = []
    for words in (['-channels_last'], ['-channels_last', '-cuda_graphs']):
        with gpu_mode():
            assert main(['train', '-solver', 'solver.prototxt', *words]) == 0
        weights.append(Path('out_iter_12.caffemodel').read_bytes())
        assert state.gpu_channels_last and bool(replays) == ('-cuda_graphs' in words)
    assert weights[0] == weights[1] or torch.cuda.is_available()
    assert 'the training step is captured' in capfd.readouterr().err


def test_on_the_cpu_nothing_is_captured(folder, replays, capsys):
    set_cuda_graphs(True)
    solver().step(6)
    assert not replays and 'not captured: nets run on the CPU' in capsys.readouterr().err
