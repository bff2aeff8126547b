"""Solvers: policies, rules, clipping, snapshots that continue exactly, what they print."""

import math
import os
import re

import numpy as np
import pytest
import torch
from google.protobuf import text_format

import caffe
from caffe.parallel.peers import Peers
from caffe.proto import caffe_pb2
from caffe.solvers import policy

NET = """
layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param { shape { dim: 8 dim: 3 } shape { dim: 8 dim: 2 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" param { lr_mult: 1 decay_mult: 1 }
  param { lr_mult: 2 decay_mult: 0 } inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }
"""


def solver(folder, extra='', kind='SGD', net=NET, prefix=None):
    (folder / 'net.prototxt').write_text(net)
    path = folder / 'solver.prototxt'
    path.write_text(
        f'net: "{folder}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 6 random_seed: 5 '
        f'snapshot_prefix: "{prefix or folder}/s" type: "{kind}" {extra}'
    )
    return caffe.get_solver(str(path))


@pytest.mark.parametrize(
    'text, iteration, step, rate',
    [
        ('lr_policy: "fixed"', 9, 0, 0.5),
        ('lr_policy: "step" gamma: 0.1 stepsize: 4', 9, 2, 0.005),
        ('lr_policy: "exp" gamma: 0.9', 3, 0, 0.5 * 0.9**3),
        ('lr_policy: "inv" gamma: 0.1 power: 0.75', 10, 0, 0.5 * 2**-0.75),
        ('lr_policy: "multistep" gamma: 0.1 stepvalue: 5 stepvalue: 8', 9, 2, 0.005),
        ('lr_policy: "poly" power: 2 max_iter: 20', 10, 0, 0.125),
        ('lr_policy: "sigmoid" gamma: -0.5 stepsize: 4', 6, 0, 0.5 / (1 + math.exp(0.5 * 2))),
        ('lr_policy: "plateau" gamma: 0.1 plateau_winsize: 5', 9, 2, 0.005),
        ('lr_policy: "multifixed" stagelr: 0.3 stagelr: 0.2 stageiter: 4 stageiter: 6', 4, 0, 0.3),
        ('lr_policy: "multifixed" stagelr: 0.3 stagelr: 0.2 stageiter: 4 stageiter: 6', 5, 0, 0.2),
        ('lr_policy: "multifixed" stagelr: 0.3 stagelr: 0.2 stageiter: 4 stageiter: 6', 99, 0, 0.2),
        ('lr_policy: "exp" gamma: 0.9 warmup_iter: 4 warmup_start_lr: 0.1', 0, 0, 0.1),
        ('lr_policy: "exp" gamma: 0.9 warmup_iter: 4 warmup_start_lr: 0.1', 3, 0, (3 * 0.5 + 0.1) / 4),
        ('lr_policy: "exp" gamma: 0.9 warmup_iter: 4 warmup_start_lr: 0.1', 4, 0, 0.5 * 0.9**4),
        ('lr_policy: "fixed" rampup_interval: 4 rampup_lr: 0.1', 3, 0, 0.1 + 0.4 * 9 / 16),
        ('lr_policy: "fixed" rampup_interval: 4', 4, 0, 0.5),
        ('lr_policy: "poly" power: 2 max_iter: 20 min_lr: 0.1', 10, 0, 0.4 * 0.25 + 0.1),
        ('lr_policy: "step" gamma: 0.1 stepsize: 4 min_lr: 0.02', 9, 2, 0.02),
    ],
)
def test_rates(text, iteration, step, rate):
    param = text_format.Parse('base_lr: 0.5 ' + text, caffe_pb2.SolverParameter())
    policy.check_policy(param)
    assert policy.learning_rate(param, iteration, step) == pytest.approx(rate)


def test_a_sigmoid_far_below_its_step_is_zero():
    param = text_format.Parse('base_lr: 0.5 lr_policy: "sigmoid" gamma: 1 stepsize: 5000', caffe_pb2.SolverParameter())
    assert policy.learning_rate(param, 0, 0) == pytest.approx(0)
    assert policy.learning_rate(param, 10000, 0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    'text, iteration',
    [
        ('lr_policy: "exp" gamma: 2', 2000),
        ('lr_policy: "poly" power: 0.5 max_iter: 10', 11),
        ('lr_policy: "poly" power: -1 max_iter: 10', 10),
        ('lr_policy: "inv" gamma: -1 power: 0.75', 2),
    ],
)
def test_a_formula_without_a_number_is_told(text, iteration):
    param = text_format.Parse('base_lr: 0.5 ' + text, caffe_pb2.SolverParameter())
    with pytest.raises(caffe.CaffeError, match=f'^s: lr_policy {param.lr_policy} .*iteration {iteration}'):
        policy.learning_rate(param, iteration, 0, 's')


def test_multistep_advances_one_step_a_call():
    param = text_format.Parse('lr_policy: "multistep" stepvalue: 2 stepvalue: 3', caffe_pb2.SolverParameter())
    assert policy.next_step(param, 9, 0) == 1 and policy.next_step(param, 9, 1) == 2 == policy.next_step(param, 9, 2)


def test_a_plateau_lowers_the_rate_after_a_window_without_a_new_minimum():
    param = text_format.Parse('lr_policy: "plateau" plateau_winsize: 3 plateau_winsize: 2', caffe_pb2.SolverParameter())
    plateau, step, steps = policy.Plateau(), 0, []
    for iteration, loss in enumerate([5, 4, 4, 4, 4, 3, 3, 3, 3, 3]):
        step = plateau.next_step(param, iteration, step, loss)
        steps.append(step)
    assert steps == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]  # minima at 0, 1 and 5; 1 + 3, 5 + 2
    assert plateau == policy.Plateau(3, 7)


@pytest.mark.parametrize(
    'text, message',
    [
        ('lr_policy: "plateau"', 'no plateau_winsize'),
        ('lr_policy: "multifixed" stagelr: 1', '1 stagelr and 0 stageiter'),
        (
            'lr_policy: "multifixed" stagelr: 1 stagelr: 1 stageiter: 5 stageiter: 4',
            r'stageiter \[5, 4\], expected asc',
        ),
        ('lr_policy: "fixed" warmup_iter: 3 rampup_interval: 4', 'has warmup_iter and rampup_interval'),
    ],
)
def test_a_policy_without_what_it_needs_is_told(text, message):
    with pytest.raises(caffe.CaffeError, match='^s: .*' + message):
        policy.check_policy(text_format.Parse(text, caffe_pb2.SolverParameter()), 's')


def test_a_plateau_is_refused_among_several_processes(tmp_path):
    alone = solver(tmp_path)
    alone.param.lr_policy = 'plateau'
    with pytest.raises(caffe.CaffeError, match='solver.prototxt: lr_policy plateau .*expected one process'):
        Peers.attach(None, alone)


@pytest.mark.parametrize('form', ['BINARYPROTO', 'HDF5'])
def test_a_restored_plateau_goes_on_exactly(tmp_path, form):
    extra = f'snapshot: 3 snapshot_format: {form} gamma: 0.5 plateau_winsize: 2 plateau_winsize: 2'

    def made():
        one = solver(tmp_path, extra)
        one.param.lr_policy = 'plateau'
        return one

    whole, seen = made(), []
    whole.plateau.minimum_loss = 1e-3  # no loss is ever less
    for _ in range(6):
        whole.step(1)
        seen.append((whole.current_step, whole.plateau.last_event))
    assert seen == [(0, 0), (0, 0), (1, 2), (1, 2), (2, 4), (2, 4)]
    again = made()
    again.restore(str(tmp_path / f's_iter_3.solverstate{".h5" if form == "HDF5" else ""}'))
    assert again.plateau.minimum_loss == pytest.approx(1e-3) and again.plateau.last_event == 2
    again.step(3)
    assert (again.current_step, again.plateau.last_event) == (2, 4)


REFERENCES = {
    'SGD': lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9),
    'Nesterov': lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, nesterov=True),
    'Adam': lambda w: torch.optim.Adam(w, lr=0.1, betas=(0.9, 0.999), eps=1e-20),
    'AdaGrad': lambda w: torch.optim.Adagrad(w, lr=0.1, eps=1e-8),
    'RMSProp': lambda w: torch.optim.RMSprop(w, lr=0.1, alpha=0.99, eps=1e-8),
    'AdaDelta': lambda w: torch.optim.Adadelta(w, lr=0.1, rho=0.9, eps=1e-8),
}


@pytest.mark.parametrize('kind', REFERENCES)
def test_rules_agree_with_torch_where_the_formulas_do(tmp_path, kind):
    extra = {
        'Adam': 'momentum: 0.9 delta: 1e-20',
        'AdaGrad': 'delta: 1e-8',
        'RMSProp': 'rms_decay: 0.99 delta: 1e-8',
        'AdaDelta': 'momentum: 0.9 delta: 1e-8',
    }.get(kind, 'momentum: 0.9')
    ours = solver(tmp_path, extra, kind, NET.replace('lr_mult: 2', 'lr_mult: 1'))
    weights = [torch.nn.Parameter(blob.tensor.clone()) for blob in ours.net.learnable.blobs]
    optimizer = REFERENCES[kind](weights)
    for _ in range(5):
        for blob, weight in zip(ours.net.learnable.blobs, weights):
            weight.grad = torch.randn(blob.shape)
            blob.grad = weight.grad.clone()
        ours.apply_update()
        ours.iter += 1
        optimizer.step()
    for blob, weight in zip(ours.net.learnable.blobs, weights):
        assert torch.allclose(blob.tensor, weight.detach(), atol=1e-5, rtol=1e-4)


def test_one_update_by_hand(tmp_path):
    ours = solver(tmp_path, 'momentum: 0.9 weight_decay: 0.5 iter_size: 2')
    weight, bias = ours.net.learnable.blobs
    before = weight.data.copy()
    weight.diff[...], bias.diff[...] = 4, 4
    ours.apply_update()
    change = 0.1 * (4 / 2 + 0.5 * before)
    assert np.allclose(weight.data, before - change) and np.allclose(weight.diff, change)
    assert np.allclose(bias.diff, 0.2 * 4 / 2)


def test_l1_decay_and_clipping_by_hand(tmp_path):
    ours = solver(tmp_path, 'regularization_type: "L1" weight_decay: 0.5 clip_gradients: 1')
    weight, bias = ours.net.learnable.blobs
    before = weight.data.copy()
    weight.diff[...], bias.diff[...] = 3, 0
    ours.apply_update()
    assert np.allclose(weight.diff, 0.1 * (3 / np.sqrt(9 * 6) + 0.5 * np.sign(before)), atol=1e-6)


@pytest.mark.parametrize('kind', REFERENCES)
@pytest.mark.parametrize('form', ['BINARYPROTO', 'HDF5'])
def test_a_restored_solver_goes_on_exactly(tmp_path, kind, form):
    shared_slope = 'layer { name: "act" type: "PReLU" bottom: "ip" top: "ip" prelu_param { channel_shared: true } }\n'
    net = NET.replace('type: "gaussian" std: 1', 'type: "constant" value: 0.5')
    net = net.replace('layer { name: "loss"', shared_slope + 'layer { name: "loss"')  # a parameter without axes
    extra = (
        f'momentum: 0.9 snapshot: 3 snapshot_format: {form}'
        if kind not in ('AdaGrad', 'RMSProp')
        else f'snapshot: 3 snapshot_format: {form}'
    )
    whole = solver(tmp_path, extra, kind, net)
    whole.step(6)
    again = solver(tmp_path, extra, kind, net)
    again.restore(str(tmp_path / f's_iter_3.solverstate{".h5" if form == "HDF5" else ""}'))
    assert again.iter == 3
    again.step(3)
    for one, other in zip(whole.net.learnable.blobs, again.net.learnable.blobs):
        assert (one.data == other.data).all()


def test_a_state_finds_its_weights_beside_it_after_a_move(tmp_path):
    first = solver(tmp_path, 'snapshot: 3')
    first.step(3)
    moved = tmp_path / 'moved'
    moved.mkdir()
    for path in tmp_path.glob('s_iter_3*'):
        path.rename(moved / path.name)
    again = solver(tmp_path)
    again.restore(str(moved / 's_iter_3.solverstate'))
    assert (again.net.params['ip'][0].data == first.net.params['ip'][0].data).all()


def test_a_state_of_another_solver_is_refused(tmp_path):
    solver(tmp_path, 'snapshot: 3 momentum: 0.9', 'Adam').step(3)
    with pytest.raises(caffe.CaffeError, match='holds 4 history blobs, the solver expects 2'):
        solver(tmp_path).restore(str(tmp_path / 's_iter_3.solverstate'))


def test_a_snapshot_replaces_the_files_of_its_names_even_write_protected_ones(tmp_path):
    for ending in ('caffemodel', 'solverstate'):
        old = tmp_path / f's_iter_3.{ending}'
        old.write_bytes(b'of an earlier run')
        old.chmod(0o444)
    first = solver(tmp_path, 'snapshot: 3')
    first.step(3)
    assert sorted(path.name for path in tmp_path.glob('*s_iter*')) == ['s_iter_3.caffemodel', 's_iter_3.solverstate']
    again = solver(tmp_path)
    again.restore(str(tmp_path / 's_iter_3.solverstate'))
    assert (again.net.params['ip'][0].data == first.net.params['ip'][0].data).all()


@pytest.mark.parametrize('ending', ['caffemodel', 'solverstate'])
def test_a_snapshot_that_cannot_be_written_says_what_the_training_can_be_continued_from(tmp_path, ending):
    made = solver(tmp_path, 'snapshot: 2')
    for iteration, stays in (
        (2, 'no snapshot of this training was written before iteration 2'),
        (6, f'the training can be continued from {tmp_path}/s_iter_4.solverstate'),
    ):
        path = tmp_path / f's_iter_{iteration}.{ending}'
        path.mkdir()  # no file can take this name, not even root's
        with pytest.raises(caffe.CaffeError) as caught:
            made.step(4)
        assert str(caught.value) == f'{path}: cannot be written (Is a directory); {stays}'
    assert not list(tmp_path.glob('.*'))


def test_a_restored_training_names_its_state_when_the_next_snapshot_cannot_be_written(tmp_path):
    solver(tmp_path, 'snapshot: 3').step(3)
    again = solver(tmp_path, 'snapshot: 3')
    again.restore(str(tmp_path / 's_iter_3.solverstate'))
    (tmp_path / 's_iter_6.caffemodel').mkdir()
    with pytest.raises(caffe.CaffeError, match='can be continued from .*s_iter_3.solverstate$'):
        again.step(3)


def test_solve_snapshots_once_at_the_end_and_says_what_parsers_look_for(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(caffe.process_state.state.log, 'level', 0)
    solver(tmp_path, 'snapshot: 3 display: 2').solve()
    text = capfd.readouterr().err
    assert text.count('s_iter_6.caffemodel') == 1
    assert re.search(r'solver.cpp:218\] Iteration 2 \(\S+ iter/s, \S+s/2 iters\), loss = \S+', text)
    assert re.search(r'solver.cpp:237\]     Train net output #0: loss = \S+ \(\* 1 = \S+ loss\)', text)
    assert re.search(r'sgd_solver.cpp:105\] Iteration 4, lr = 0.1\n', text)
    assert text.rstrip().endswith('Optimization Done.')


def test_only_the_first_of_several_solvers_writes_and_tests(tmp_path):
    caffe.set_solver_count(2)
    caffe.set_solver_rank(1)
    try:
        made = solver(tmp_path, 'test_iter: 1 test_interval: 1 snapshot: 1')
        made.solve()
    finally:
        caffe.set_solver_count(1)
    assert made.iter == 6 and not made.test_nets and not list(tmp_path.glob('s_iter*'))


def test_callbacks_and_test_nets(tmp_path):
    made = solver(tmp_path, 'test_iter: 2 test_interval: 2')
    calls = []
    made.add_callback(lambda: calls.append('start'), lambda: calls.append('ready'))
    made.add_callback('', lambda: calls.append('timed'))
    made.step(2)
    assert calls == ['start', 'ready', 'timed'] * 2
    made.share_weights(made.test_nets[0])
    assert np.shares_memory(made.test_nets[0].params['ip'][0].data, made.net.params['ip'][0].data)


def test_weights_that_a_solver_names_go_into_training_and_test_nets(tmp_path):
    tested = NET + (
        'layer { name: "only" type: "InnerProduct" bottom: "ip" top: "o" include { phase: TEST } '
        'inner_product_param { num_output: 1 weight_filler { type: "xavier" } } }'
    )
    first = solver(tmp_path, 'test_iter: 1 test_interval: 1', net=tested)
    first.test_nets[0].save(str(tmp_path / 'a.caffemodel'))
    caffe.Net(str(tmp_path / 'net.prototxt'), caffe.TRAIN).save(str(tmp_path / 'b.caffemodel'))
    names = f'weights: "{tmp_path}/b.caffemodel, {tmp_path}/a.caffemodel"'
    for extra in (names, names.replace(', ', '" weights: "')):
        made = solver(tmp_path, f'test_iter: 1 test_interval: 1 {extra}', net=tested)
        for net in (made.net, made.test_nets[0]):
            assert np.array_equal(net.params['ip'][0].data, first.test_nets[0].params['ip'][0].data)
        made.test_all()
        assert np.array_equal(made.test_nets[0].params['only'][0].data, first.test_nets[0].params['only'][0].data)


@pytest.mark.parametrize(
    'extra, message',
    [
        ('weights: "gone.caffemodel"', 'gone.caffemodel: cannot be read'),
        ('iter_size: 0', 'iter_size is 0'),
        ('average_loss: 0', 'average_loss is 0'),
        ('test_iter: 1 test_net: "a" test_net: "b" test_interval: 1', '1 test_iter for 2 test nets'),
        ('test_iter: 1', 'no test_interval'),
        ('train_net: "other"', 'exactly one of'),
        ('regularization_type: "L3"', "regularization_type 'L3'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, extra, message):
    with pytest.raises(caffe.CaffeError, match=message):
        solver(tmp_path, extra)


@pytest.mark.parametrize(
    'kind, extra, message',
    [
        ('AdaGrad', 'momentum: 0.9', 'momentum is 0.9, expected 0 with solver type AdaGrad'),
        ('RMSProp', 'momentum: 0.9', 'momentum is 0.9, expected 0 with solver type RMSProp'),
        ('RMSProp', 'rms_decay: 1', 'rms_decay is 1'),
        ('RMSProp', 'rms_decay: -0.1', 'rms_decay is -0.1'),
    ],
)
def test_settings_that_a_rule_cannot_use_are_named(tmp_path, kind, extra, message):
    with pytest.raises(caffe.CaffeError, match=f'solver.prototxt: {message}'):
        solver(tmp_path, extra, kind)


def test_a_folder_that_is_not_there_is_told_before_training(tmp_path):
    with pytest.raises(caffe.CaffeError, match='no folder /nowhere/at'):
        solver(tmp_path, 'snapshot: 1', prefix='/nowhere/at')


def test_a_solver_that_can_be_read_only_once_is_made(tmp_path):
    solver(tmp_path)
    pipe, end = os.pipe()
    os.write(end, (tmp_path / 'solver.prototxt').read_bytes())
    os.close(end)
    made = caffe.get_solver(f'/dev/fd/{pipe}')
    os.close(pipe)
    assert isinstance(made, caffe.SGDSolver) and made.origin == f'/dev/fd/{pipe}' and made.param.max_iter == 6


def test_an_unknown_policy_or_type_is_named(tmp_path):
    with pytest.raises(caffe.CaffeError, match="solver.prototxt: solver type 'SDG'.*SGD"):
        solver(tmp_path, kind='SDG')
    with pytest.raises(caffe.CaffeError, match="lr_policy 'stepp'"):
        policy.check_policy(caffe_pb2.SolverParameter(lr_policy='stepp'))


def test_an_update_meets_the_weights_that_the_gradient_is_of(tmp_path):
    """Large convolutions keep their gradients in another order in memory than their weights."""
    ours = solver(
        tmp_path,
        'momentum: 0.9',
        net="""
layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 8 dim: 32 dim: 32 dim: 32 } shape { dim: 8 dim: 32 dim: 32 dim: 32 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 32 kernel_size: 3 pad: 1
  weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "conv" bottom: "t" top: "loss" loss_weight: 0.001 }
""",
    )
    weight, seen = ours.net.params['conv'][0], {}
    before = weight.tensor.clone()
    ours.add_callback(lambda: None, lambda: seen.update(grad=weight.grad.clone(memory_format=torch.contiguous_format)))
    ours.step(1)
    assert torch.allclose(weight.tensor, before - 0.1 * seen['grad'], atol=1e-6)


# as many products as it takes for the kernels that lay the channels innermost
CONVOLUTION = """
layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param { shape { dim: 1 dim: 16 dim: 96 dim: 96 }
  shape { dim: 1 dim: 32 dim: 96 dim: 96 } data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 32 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "conv" bottom: "t" top: "loss" loss_weight: 0.001 }
"""


@pytest.mark.parametrize('kind', REFERENCES)
def test_the_order_of_weights_in_memory_changes_nothing(tmp_path, kind):
    """Weights whose channels come to lie innermost train and are saved like those that Python holds a view of."""
    settings = 'weight_decay: 0.01 clip_gradients: 5 iter_size: 2 snapshot: 2 snapshot_after_train: false '
    settings += 'momentum: 0.9' * (kind not in ('AdaGrad', 'RMSProp'))
    ours = solver(tmp_path, settings, kind, CONVOLUTION)
    ours.step(3)
    weight = ours.net.params['conv'][0]
    assert not weight.tensor.is_contiguous() and not ours.updater.history[0].is_contiguous()
    again = solver(tmp_path, settings, kind, CONVOLUTION)
    again.restore(str(tmp_path / 's_iter_2.solverstate'))
    viewed = solver(tmp_path, settings, kind, CONVOLUTION)
    view, diff = viewed.net.params['conv'][0].data, viewed.net.params['conv'][0].diff
    viewed.step(2)
    assert viewed.net.params['conv'][0].tensor.is_contiguous()
    assert np.allclose(again.net.params['conv'][0].data, view, atol=1e-5)
    viewed.step(1)
    assert np.allclose(weight.data, view, atol=1e-5) and np.allclose(weight.diff, diff, atol=1e-5)
    for mine, theirs in zip(ours.updater.history, viewed.updater.history):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_one_function_alone_is_no_pair_of_callbacks(tmp_path):
    with pytest.raises(caffe.CaffeError, match='expected two functions, or an object with on_start and on_grad'):
        solver(tmp_path).add_callback(lambda: None)
