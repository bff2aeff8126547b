"""What a solver does around its updates: multipliers, smoothed losses, tests that are due."""

import numpy as np
import pytest

import caffe

NET = """
layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { type: "gaussian" std: 1 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" param { lr_mult: 1 decay_mult: 2 }
  param { lr_mult: 3 decay_mult: 0 } inner_product_param { num_output: 2 weight_filler { type: "xavier" }
  bias_filler { value: 5 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }
"""


def solver(folder, extra, net=NET, policy='"fixed"'):
    (folder / 'net.prototxt').write_text(net)
    (folder / 'solver.prototxt').write_text(
        f'net: "{folder}/net.prototxt" base_lr: 0.01 lr_policy: {policy} max_iter: 4 random_seed: 5 '
        f'snapshot_prefix: "{folder}/s" {extra}'
    )
    return caffe.get_solver(str(folder / 'solver.prototxt'))


@pytest.mark.parametrize('momentum', [0, 0.9])
@pytest.mark.parametrize('kind', ['SGD', 'Nesterov'])
def test_rate_and_decay_have_multipliers_of_their_own(tmp_path, kind, momentum):
    made = solver(tmp_path, f'type: "{kind}" weight_decay: 0.5 momentum: {momentum}')
    weight, bias = made.net.learnable.blobs
    before = weight.data.copy()
    weight.diff[...], bias.diff[...] = 4, 4
    made.apply_update()
    ahead = 1 + momentum if kind == 'Nesterov' else 1
    np.testing.assert_allclose(weight.data, before - ahead * 0.01 * (4 + 0.5 * 2 * before), rtol=1e-5)
    np.testing.assert_allclose(bias.data, 5 - ahead * 0.03 * 4, rtol=1e-5)


def test_the_smoothed_loss_is_a_mean_over_iterations_of_one_call(tmp_path):
    made, losses = solver(tmp_path, 'average_loss: 2'), []
    made.add_callback(lambda: None, lambda: losses.append(float(made.net.blobs['loss'].data)))
    made.step(3)
    assert made.smoothed_loss() == pytest.approx(np.mean(losses[1:]))
    made.step(1)
    assert made.smoothed_loss() == pytest.approx(losses[3])


def test_an_iteration_of_several_batches_has_their_mean_loss(tmp_path):
    made, losses = solver(tmp_path, 'iter_size: 3'), []
    made.net.after_forward(lambda index: losses.append(float(made.net.blobs['loss'].data)) if index == 2 else None)
    made.step(1)
    assert len(losses) == 3 and made.smoothed_loss() == pytest.approx(np.mean(losses))


def test_a_loss_that_another_layer_reads_counts_once(tmp_path):
    made = solver(
        tmp_path,
        '',
        NET + 'layer { name: "sum" type: "Reduction" bottom: "ip" top: "sum" loss_weight: 3 }'
        'layer { name: "s" type: "Silence" bottom: "sum" }',
    )
    made.step(1)
    loss, total = (float(made.net.blobs[name].data) for name in ('loss', 'sum'))
    assert made.smoothed_loss() == pytest.approx(loss + 3 * total) != loss


def test_the_running_statistics_of_batch_norm_are_never_learned(tmp_path):
    rates = 'param { lr_mult: 1 } ' * 3
    norm = f'layer {{ name: "bn" type: "BatchNorm" bottom: "ip" top: "norm" {rates}}}\n'
    loss = 'layer { name: "loss" type: "EuclideanLoss" bottom: "norm" bottom: "t" top: "loss" }\n'
    made = solver(tmp_path, 'weight_decay: 0.5', NET[: NET.index('layer { name: "loss"')] + norm + loss)
    made.step(1)
    statistics = [blob.data.copy() for blob in made.net.params['bn']]
    for blob in made.net.params['bn']:
        blob.diff[...] = 1
    made.apply_update()
    for blob, before in zip(made.net.params['bn'], statistics):
        assert (blob.data == before).all()


def test_a_restored_solver_is_at_the_same_rate_step(tmp_path):
    steps = {'extra': 'stepvalue: 1 stepvalue: 2 stepvalue: 6 gamma: 0.1', 'policy': '"multistep"'}
    made = solver(tmp_path, **steps)
    made.step(3)
    made.snapshot()
    again = solver(tmp_path, **steps)
    again.restore(str(tmp_path / 's_iter_3.solverstate'))
    assert (again.iter, again.current_step) == (made.iter, made.current_step) == (3, 2)


def test_no_batches_to_test_on_are_no_test(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(caffe.process_state.state.log, 'level', 0)
    solver(tmp_path, 'test_iter: 0 test_interval: 1 test_compute_loss: true').step(1)
    shown = capfd.readouterr().err
    assert 'Testing net (#0)' in shown and 'Test net output' not in shown and 'Test loss' not in shown


def test_clipping_keeps_a_gradient_that_is_no_number_to_its_parameter(tmp_path):
    made = solver(tmp_path, 'clip_gradients: 1')
    weight, bias = made.net.learnable.blobs
    before = weight.data.copy()
    weight.diff[...], bias.diff[...] = 4, np.nan
    made.apply_update()
    np.testing.assert_allclose(weight.data, before - 0.01 * 4, rtol=1e-5)
    assert np.isnan(bias.data).all()


def test_a_net_without_parameters_can_be_clipped(tmp_path):
    net = NET[: NET.index('layer { name: "ip"')] + NET[NET.index('layer { name: "loss"') :].replace('"ip"', '"x"')
    made = solver(tmp_path, 'clip_gradients: 1', net.replace('dim: 4 dim: 2', 'dim: 4 dim: 3'))
    made.step(2)
    assert made.iter == 2 and not made.net.learnable.blobs


@pytest.mark.parametrize('extra, tested', [('', [0, 2, 4]), ('test_initialization: false', [2, 4])])
def test_tests_that_are_due(tmp_path, capfd, monkeypatch, extra, tested):
    monkeypatch.setattr(caffe.process_state.state.log, 'level', 0)
    solver(tmp_path, f'test_iter: 1 test_interval: 2 snapshot_after_train: false {extra}').solve()
    lines = capfd.readouterr().err.splitlines()
    assert [int(line.split('Iteration ')[1].split(',')[0]) for line in lines if 'Testing net' in line] == tested
