"""The log of a net's construction has the lines of Caffe's, and none where the level hides them."""

import os
import re

import pytest
from repository import SHARED

import caffe
from caffe.proto import caffe_pb2
from layer_case import make_net

NET = """
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" inner_product_param { num_output: 4 } }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "t" top: "loss" loss_weight: 0.5 }
layer { name: "sum" type: "Reduction" bottom: "fc" top: "sum" }
"""


@pytest.fixture(autouse=True)
def level():
    caffe.init_log(0)
    yield
    caffe.init_log(int(os.environ.get('GLOG_minloglevel', 0)))


def messages(text):
    """`source] message` of each line of a log that is one; parameters printed between them are left out."""
    return re.findall(r'^[IW]\d+ [\d:.]+ +\d+ (.*)$', text, re.M)


def test_layers_shapes_memory_needs_and_outputs(capsys):
    make_net(NET, {'x': (2, 3), 't': (2, 4)}, caffe.TRAIN)
    lines = [line.split('] ')[1] for line in messages(capsys.readouterr().err)]
    assert lines[0].startswith('Initializing net from parameters')
    fc = lines.index('Creating layer fc')
    assert lines[fc : fc + 14] == [
        'Creating layer fc',
        'Creating Layer fc',
        'fc <- x',
        'fc -> fc',
        'Setting up fc',
        'Top shape: 2 4 (8)',
        'Memory required for data: 88',
        'Creating layer relu',
        'Creating Layer relu',
        'relu <- fc',
        'relu -> fc (in-place)',
        'Setting up relu',
        'Top shape: 2 4 (8)',
        'Memory required for data: 120',
    ]
    loss = lines.index('Setting up loss')
    assert lines[loss : loss + 4] == [
        'Setting up loss',
        'Top shape: (1)',
        '    with loss weight 0.5',
        'Memory required for data: 188',
    ]
    assert lines[-10:] == [
        'sum needs backward computation.',
        'loss needs backward computation.',
        'fc_relu_0_split needs backward computation.',
        'relu needs backward computation.',
        'fc needs backward computation.',
        't needs backward computation.',
        'x needs backward computation.',
        'This network produces output loss',
        'This network produces output sum',
        'Network initialization done.',
    ]


def test_parameters_are_logged_before_layers_are_split(capsys):
    make_net(NET, {'x': (2, 3), 't': (2, 4)})
    printed = capsys.readouterr().err.split('Creating layer')[0]
    assert 'type: "EuclideanLoss"' in printed and 'Split' not in printed


def test_nothing_is_made_for_a_log_that_is_hidden(capsys, monkeypatch):
    monkeypatch.setattr(caffe_pb2.NetParameter, '__str__', None, raising=False)
    for hidden in (lambda: caffe.init_log(2), lambda: caffe.init_log(0, False)):
        hidden()
        make_net(NET, {'x': (2, 3), 't': (2, 4)})
    assert not capsys.readouterr().err


def test_layers_of_a_file_that_the_net_has_not_are_named(tmp_path, capsys):
    make_net(NET, {'x': (2, 3), 't': (2, 4)}).save(str(tmp_path / 'a.caffemodel'))
    net = make_net(NET.replace('"fc" type', '"other" type'), {'x': (2, 3), 't': (2, 4)})
    capsys.readouterr()
    net.copy_from(str(tmp_path / 'a.caffemodel'))
    lines = messages(capsys.readouterr().err)
    assert 'net.cpp:744] Ignoring source layer fc' in lines and not [line for line in lines if 'layer relu' in line]


def test_the_log_is_that_of_a_genuine_caffe(tmp_path, capsys, monkeypatch):
    goldens, faces = SHARED / 'goldens' / 'trajectories', SHARED / 'data' / 'orl'
    if not (goldens / 'a_softmax_m4_train.log').exists() or not faces.exists():
        pytest.skip(f'no log of a genuine Caffe and no faces in {SHARED}')
    for name in ('a_softmax_m4_solver.prototxt', 'a_softmax_m4_train.prototxt', 'faces.txt'):
        (tmp_path / name).write_bytes((goldens / name).read_bytes())
    (tmp_path / 'orl').symlink_to(faces)
    monkeypatch.chdir(tmp_path)
    caffe.get_solver('a_softmax_m4_solver.prototxt')
    genuine = messages((goldens / 'a_softmax_m4_train.log').read_text())
    genuine = genuine[
        genuine.index('solver.cpp:44] Initializing solver from parameters: ') : genuine.index(
            'solver.cpp:56] Solver scaffolding done.'
        )
        + 1
    ]
    # SoftmaxWithLoss makes a Softmax layer of its own there
    del genuine[len(genuine) - genuine[::-1].index('layer_factory.hpp:77] Creating layer softmax_loss') - 1]
    assert messages(capsys.readouterr().err) == genuine
