"""Parameters shared between layers and between nets; levels and stages of nets."""

import h5py
import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from layer_case import make_net, run
from training_run import NET, SOLVER, write_run


def shared(kinds, second='', outputs=(3, 3)):
    """Two InnerProducts, of x and of y, whose weights have one name; `kinds` are the texts in their param."""
    return ''.join(
        f'layer {{ name: "ip{i}" type: "InnerProduct" bottom: "{bottom}" top: "t{i}" param {{ name: "w" {kind} }} '
        f'inner_product_param {{ num_output: {count} bias_term: false weight_filler {{ type: "xavier" }} {second} }} }}'
        for i, (bottom, kind, count) in enumerate(zip('xy', kinds, outputs))
    )


def test_shared_parameters_have_one_data_and_sum_their_diffs():
    net = make_net(shared(['', '']), {'x': (2, 4), 'y': (2, 4)})
    one, two = net.params['ip0'][0], net.params['ip1'][0]
    assert np.shares_memory(one.data, two.data) and len(net.learnable.blobs) == 1
    diffs = run(net)
    want = diffs['t0'].T @ net.blobs['x'].data + diffs['t1'].T @ net.blobs['y'].data
    assert np.allclose(one.diff, want, atol=1e-5) and np.array_equal(one.diff, two.diff)


def test_a_shared_parameter_stands_in_hdf5_with_its_owner(tmp_path):
    net = make_net(shared(['', '']), {'x': (2, 4), 'y': (2, 4)})
    net.save_hdf5(str(tmp_path / 'w.h5'))
    with h5py.File(tmp_path / 'w.h5') as file:
        assert list(file['data/ip0']) == ['0'] and list(file['data/ip1']) == []
    before = net.params['ip1'][0].data.copy()
    net.params['ip1'][0].data[...] = 0
    net.load_hdf5(str(tmp_path / 'w.h5'))
    assert np.array_equal(net.params['ip1'][0].data, before)


def test_strict_sharing_wants_equal_shapes_and_permissive_equal_counts():
    shapes = {'x': (2, 4), 'y': (2, 6)}
    with pytest.raises(caffe.CaffeError, match=r"'ip1'.*'w'.*\(3, 4\).*\(2, 6\)"):
        make_net(shared(['', ''], outputs=(3, 2)), shapes)
    with pytest.raises(caffe.CaffeError, match="'ip1'"):
        make_net(shared(['', 'share_mode: STRICT'], outputs=(3, 2)), shapes)
    with pytest.raises(caffe.CaffeError, match="'ip1'"):
        make_net(shared(['', 'share_mode: PERMISSIVE'], outputs=(3, 3)), shapes)
    net = make_net(shared(['', 'share_mode: PERMISSIVE'], outputs=(3, 2)), shapes)
    assert net.params['ip1'][0].shape == (2, 6)
    assert np.array_equal(net.params['ip0'][0].data.ravel(), net.params['ip1'][0].data.ravel())
    diffs = run(net)
    want = (diffs['t0'].T @ net.blobs['x'].data).ravel() + (diffs['t1'].T @ net.blobs['y'].data).ravel()
    assert np.allclose(net.params['ip0'][0].diff.ravel(), want, atol=1e-5)


@pytest.mark.parametrize(
    'kinds, rate',
    [
        (['lr_mult: 2', ''], 2),
        (['', 'lr_mult: 2'], 2),
        (['lr_mult: 2', 'lr_mult: 2'], 2),
        (['', ''], 1),
    ],
)
def test_rates_of_shared_parameters(kinds, rate):
    assert make_net(shared(kinds), {'x': (2, 4), 'y': (2, 4)}).learnable.lr == [rate]


@pytest.mark.parametrize('field', ['lr_mult', 'decay_mult'])
def test_rates_that_disagree_are_refused(field):
    with pytest.raises(caffe.CaffeError, match=f"'ip1'.*{field}"):
        make_net(shared([f'{field}: 1', f'{field}: 2']), {'x': (2, 4), 'y': (2, 4)})


def test_test_nets_use_the_weights_of_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path, solver=SOLVER + 'test_iter: 2 test_interval: 2')
    solver = caffe.get_solver('solver.prototxt')
    solver.step(3)
    for name, blobs in solver.net.params.items():
        for mine, theirs in zip(blobs, solver.test_nets[0].params[name]):
            assert np.shares_memory(mine.data, theirs.data)
    solver.step(1)
    assert np.array_equal(solver.net.params['ip1'][0].data, solver.test_nets[0].params['ip1'][0].data)


def test_sharing_with_a_net_of_other_shapes_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path)
    one = caffe.Net('net.prototxt', caffe.TRAIN)
    (tmp_path / 'other.prototxt').write_text(NET.replace('num_output: 8', 'num_output: 7'))
    with pytest.raises(caffe.CaffeError, match="'ip1'"):
        caffe.Net('other.prototxt', caffe.TRAIN).share_with(one)


def test_sharing_with_a_net_of_fewer_parameters_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path, NET.replace('num_output: 8', 'num_output: 8 bias_term: false'))
    one = caffe.Net('net.prototxt', caffe.TRAIN)
    (tmp_path / 'other.prototxt').write_text(NET)
    with pytest.raises(caffe.CaffeError, match="'ip1'.*1 parameter blobs, it has 2"):
        caffe.Net('other.prototxt', caffe.TEST).share_with(one)


def test_layers_of_one_name_get_their_own_parameters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    again = (
        'layer { name: "ip1" type: "PReLU" bottom: "ip1" top: "ip1" }\n'
        'layer { name: "ip1" type: "Power" bottom: "ip1" top: "ip1" }\nlayer { name: "relu"'
    )
    write_run(tmp_path, NET.replace('layer { name: "relu"', again), SOLVER + 'test_iter: 1 test_interval: 1')
    solver = caffe.get_solver('solver.prototxt')
    solver.step(2)
    solver.net.save('saved.caffemodel')
    loaded = caffe.Net('net.prototxt', caffe.TEST, weights='saved.caffemodel')
    for i, layer in enumerate(solver.net.layers):
        for mine, tested, read in zip(layer.blobs, solver.test_nets[0].layers[i].blobs, loaded.layers[i].blobs):
            assert np.array_equal(mine.data, tested.data) and np.array_equal(mine.data, read.data)
    with pytest.raises(caffe.CaffeError, match="h5: .*'ip1'"):
        solver.net.save_hdf5('saved.h5')
    assert not (tmp_path / 'saved.h5').exists()


def test_a_layer_without_parameters_takes_none_from_one_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path)
    plain = caffe.Net('net.prototxt', caffe.TRAIN)
    plain.save('plain.caffemodel')
    (tmp_path / 'net.prototxt').write_text(
        NET.replace(
            'layer { name: "ip1"', 'layer { name: "ip1" type: "Power" bottom: "data" top: "data" }\nlayer { name: "ip1"'
        )
    )
    loaded = caffe.Net('net.prototxt', caffe.TRAIN, weights='plain.caffemodel')
    assert np.array_equal(loaded.params['ip1'][0].data, plain.params['ip1'][0].data)


RULES = """
layer { name: "always" type: "DummyData" top: "a" dummy_data_param { shape { dim: 1 } } }
layer { name: "train" type: "DummyData" top: "b" dummy_data_param { shape { dim: 1 } } include { phase: TRAIN } }
layer { name: "deploy" type: "DummyData" top: "c" dummy_data_param { shape { dim: 1 } } include { stage: "deploy" } }
layer { name: "low" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 } } include { max_level: 1 } }
layer { name: "high" type: "DummyData" top: "e" dummy_data_param { shape { dim: 1 } } exclude { max_level: 1 } }
layer { name: "both" type: "DummyData" top: "f" dummy_data_param { shape { dim: 1 } }
        include { stage: "deploy" stage: "fast" } include { min_level: 5 phase: TEST } }
layer { name: "not" type: "DummyData" top: "g" dummy_data_param { shape { dim: 1 } } include { not_stage: "fast" } }
"""


@pytest.mark.parametrize(
    'phase, level, stages, want',
    [
        (caffe.TRAIN, 0, [], 'always train low not'),
        (caffe.TEST, 0, [], 'always low not'),
        (caffe.TEST, 2, ['deploy'], 'always deploy high not'),
        (caffe.TEST, 1, ['deploy', 'fast'], 'always deploy low both'),
        (caffe.TEST, 5, ['fast'], 'always high both'),
        (caffe.TRAIN, 5, [], 'always train high not'),
    ],
)
def test_levels_and_stages(phase, level, stages, want):
    param = text_format.Parse(RULES, caffe_pb2.NetParameter())
    assert list(caffe.Net(param, phase, level, stages)._layer_names) == want.split()


def test_the_state_of_solver_and_net_is_merged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'net.prototxt').write_text('state { stage: "fast" level: 2 }' + RULES)
    solver = (
        'net: "net.prototxt" base_lr: 1 lr_policy: "fixed" train_state { stage: "deploy" } test_iter: 1 '
        'test_interval: 1 test_state { level: 5 }'
    )
    (tmp_path / 'solver.prototxt').write_text(solver)
    made = caffe.get_solver('solver.prototxt')
    assert list(made.net._layer_names) == ['always', 'train', 'deploy', 'high', 'both']
    assert list(made.test_nets[0]._layer_names) == ['always', 'high', 'both']
