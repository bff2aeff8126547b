"""Distillation nets: the loss and its gradient by formula, a teacher that never learns, weights that come apart."""

import subprocess
import sys

import numpy as np
import pytest
from repository import ROOT
from sphereslim.engine import caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import find_layer, parse_net, write_prototxt
from sphereslim.rewrite.distill import (
    PREFIX,
    add_embedding_loss,
    add_logits_loss,
    add_map_loss,
    join_weights,
    with_teacher,
    without_teacher,
)

HEAD = """
name: "net"
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 6 dim: 1 dim: 4 dim: 4 } shape { dim: 6 } data_filler { type: "gaussian" std: 1 }
  data_filler { type: "constant" value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: %d kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "feature" type: "InnerProduct" bottom: "conv" top: "feature"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "feature" top: "feature" }
layer { name: "fc" type: "InnerProduct" bottom: "feature" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" loss_weight: 0 }
"""
STUDENT, TEACHER = parse_net(HEAD % 2), parse_net(HEAD % 8)
TEMPERATURE, WEIGHT = 3.0, 0.7


@pytest.fixture(scope='module')
def both():
    return with_teacher(STUDENT, TEACHER)


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_teacher_is_frozen_and_has_neither_dropout_nor_loss(both):
    own = [layer for layer in both.layer if layer.name.startswith(PREFIX)]
    assert [layer.name for layer in own] == [f'teacher_{name}' for name in ('conv', 'bn', 'relu', 'feature', 'fc')]
    assert all(spec.lr_mult == 0 and spec.decay_mult == 0 for layer in own for spec in layer.param)
    assert [len(layer.param) for layer in own] == [2, 3, 0, 2, 2]
    assert find_layer(both, 'teacher_bn').batch_norm_param.use_global_stats
    assert list(find_layer(both, 'teacher_conv').bottom) == ['data']


def test_teacher_sees_the_pictures_that_the_student_writes_over():
    over = (
        'layer { name: "power" type: "Power" bottom: "data" top: "data" power_param { shift: 0.5 } }\n'
        'layer { name: "relu0" type: "ReLU" bottom: "data" top: "data" }\n'
    )
    student = parse_net((HEAD % 2).replace('layer { name: "conv"', f'{over}layer {{ name: "conv"'))
    weights = weights_of(open_net(TEACHER))
    net, alone = open_net(with_teacher(student, TEACHER), join_weights(None, weights)), open_net(TEACHER, weights)
    net._forward(0, len(net.layers) - 1)
    pictures = np.array(net.blobs['data'].data)
    np.testing.assert_array_equal(net.blobs['data_changed'].data, np.maximum(pictures + np.float32(0.5), 0))
    assert list(net.bottom_names['conv']) == ['data_changed']
    alone.blobs['data'].data[...] = pictures
    alone._forward(1, len(alone.layers) - 1)
    np.testing.assert_allclose(net.blobs['teacher_fc'].data, alone.blobs['fc'].data, atol=1e-5)


def test_softened_cross_entropy_and_its_gradient(both):
    net = open_net(add_logits_loss(both, 'fc', 'teacher_fc', TEMPERATURE, WEIGHT), phase=caffe.TRAIN)
    loss = net._forward(0, len(net.layers) - 1)
    net._backward(len(net.layers) - 1, 0)
    p, q = (softmax(net.blobs[blob].data.astype(np.float64) / TEMPERATURE) for blob in ('teacher_fc', 'fc'))
    assert loss == pytest.approx(-WEIGHT * TEMPERATURE**2 * (p * np.log(q)).sum(axis=1).mean(), rel=1e-4)
    assert net.blobs['fc'].diff == pytest.approx(WEIGHT * TEMPERATURE * (q - p) / len(p), abs=1e-5)


def test_embedding_loss_and_its_gradient(both):
    net = open_net(add_embedding_loss(both, 'feature', 'teacher_feature', WEIGHT), phase=caffe.TRAIN)
    loss = net._forward(0, len(net.layers) - 1)
    net._backward(len(net.layers) - 1, 0)
    s, t = (net.blobs[blob].data.astype(np.float64) for blob in ('feature', 'teacher_feature'))
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (s, t))
    assert loss == pytest.approx(WEIGHT * np.square(u - v).sum() / 2 / len(s), rel=1e-4)
    along = u - v
    expected = (
        WEIGHT
        / len(s)
        * (along - u * (along * u).sum(axis=1, keepdims=True))
        / np.linalg.norm(s, axis=1, keepdims=True)
    )
    assert net.blobs['distill_student_feature_flat'].diff == pytest.approx(expected, abs=1e-5)


def test_student_learns_the_teacher_which_stays_as_it_is(both, tmp_path):
    net = add_embedding_loss(add_logits_loss(both, 'fc', 'teacher_fc', 2, 1), 'feature', 'teacher_feature', 1)
    for layer in net.layer:
        if layer.type == 'Dropout':
            layer.dropout_param.dropout_ratio = 0.01
    solver = _solver(net, tmp_path)
    for blob in solver.net.params['teacher_bn'][1:]:
        blob.data[...] = 1
    before = {name: [blob.data.copy() for blob in blobs] for name, blobs in solver.net.params.items()}
    solver.step(1)
    first = _divergence(solver.net)
    solver.step(150)
    for name, blobs in solver.net.params.items():
        same = all(np.array_equal(blob.data, old) for blob, old in zip(blobs, before[name]))
        assert same == name.startswith(PREFIX), name
    assert _divergence(solver.net) < 0.5 * first


def _solver(net, folder):
    write_prototxt(folder / 'train.prototxt', net)
    text = (
        f'net: "{folder}/train.prototxt" base_lr: 0.01 lr_policy: "fixed" type: "Adam" momentum: 0.9 max_iter: 200 '
        f'snapshot_prefix: "{folder}/s" snapshot_after_train: false random_seed: 3'
    )
    (folder / 'solver.prototxt').write_text(text)
    caffe.set_random_seed(3)
    return caffe.get_solver(str(folder / 'solver.prototxt'))


def _divergence(net):
    p, q = (net.blobs[f'distill_{name}_soft'].data.astype(np.float64) for name in ('teacher', 'student'))
    return (p * np.log(p / q)).sum(axis=1).mean()


def test_only_layers_of_caffe_1_are_added(both):
    net = add_embedding_loss(add_logits_loss(both, 'fc', 'teacher_fc', 2, 1), 'feature', 'teacher_feature', 1)
    added = {layer.type for layer in net.layer if layer.name.startswith('distill_')}
    assert added == {'Power', 'Softmax', 'Log', 'Eltwise', 'Reduction', 'Flatten', 'Scale', 'EuclideanLoss'}


def test_weights_join_and_come_apart(both):
    student, teacher = weights_of(open_net(STUDENT)), weights_of(open_net(TEACHER))
    joined = join_weights(student, teacher)
    net = open_net(both, joined)
    assert np.array_equal(net.params['teacher_fc'][0].data.reshape(-1), _blob(teacher, 'fc'))
    assert np.array_equal(net.params['fc'][0].data.reshape(-1), _blob(student, 'fc'))
    assert without_teacher(joined) == student


def _blob(weights, name):
    return np.float32(next(layer for layer in weights.layer if layer.name == name).blobs[0].data)


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda net: add_logits_loss(net, 'fc', 'teacher_fc9', 2, 1), "no blob 'teacher_fc9', expected one of: data"),
        (lambda net: add_logits_loss(net, 'fc', 'teacher_feature', 2, 1), "'teacher_feature': 5 and 7 numbers"),
        (lambda net: add_logits_loss(net, 'fc', 'teacher_fc', 0, 1), 'temperature 0: expected above 0'),
        (
            lambda net: with_teacher(net, parse_net(HEAD.replace('dim: 4 dim: 4', 'dim: 6 dim: 6') % 8)),
            r"teacher 'net': takes pictures of \(1, 6, 6\), the student of \(1, 4, 4\)",
        ),
    ],
)
def test_refusals(both, make, message):
    with pytest.raises(SlimError, match=message):
        make(both)


def test_command_writes_what_caffe_trains(tmp_path):
    write_prototxt(tmp_path / 'student.prototxt', STUDENT)
    write_prototxt(tmp_path / 'teacher.prototxt', TEACHER)
    (tmp_path / 'teacher.caffemodel').write_bytes(weights_of(open_net(TEACHER)).SerializeToString())
    command = [
        sys.executable,
        ROOT / 'python/distill.py',
        '--student',
        tmp_path / 'student.prototxt',
        '--teacher',
        tmp_path / 'teacher.prototxt',
        '--teacher-weights',
        tmp_path / 'teacher.caffemodel',
    ]
    done = subprocess.run([*command, '--logits', 'fc', '--out', tmp_path / 'out'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    net = caffe.Net(str(tmp_path / 'out/train.prototxt'), str(tmp_path / 'out/init.caffemodel'), caffe.TRAIN)
    assert set(net.params) >= {'conv', 'teacher_conv'}
    extract = [*command[:2], '--extract', tmp_path / 'out/init.caffemodel', '--out', tmp_path / 'student.caffemodel']
    assert subprocess.run(extract, capture_output=True).returncode == 0
    assert not caffe_pb2.NetParameter.FromString((tmp_path / 'student.caffemodel').read_bytes()).layer
    failed = subprocess.run([*command, '--out', tmp_path / 'out'], capture_output=True, text=True)
    assert failed.returncode == 1 and '--logits or --embedding' in failed.stderr


@pytest.mark.parametrize('kept', [[0, 2], [0, 1, 2, 3]])
def test_the_map_loss_is_the_share_of_the_kept_channels_that_the_student_lacks(kept):
    def net(channels):
        return parse_net(f"""
            layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: [5, 3, 4, 4] }} }} }}
            layer {{ name: "map" type: "Convolution" bottom: "data" top: "map"
                     convolution_param {{ num_output: {channels} kernel_size: 1 }} }}""")

    rng = np.random.default_rng(0)
    student, teacher = open_net(net(len(kept))), open_net(net(4))
    for opened in (student, teacher):
        for blob in opened.params['map']:
            blob.data[...] = rng.normal(0, 1, blob.data.shape)
    both = with_teacher(net(len(kept)), net(4))
    data = rng.normal(0, 1, (5, 3, 4, 4))
    maps = {}
    for name, opened in (('student', student), ('teacher', teacher)):
        opened.blobs['data'].data[...] = data
        maps[name] = np.array(opened.forward()['map'], np.float64)
    wanted = maps['teacher'][:, kept]
    joined, scale = join_weights(weights_of(student), weights_of(teacher)), float((wanted**2).sum() / 5)
    both, joined = add_map_loss(both, joined, 'map', np.array(kept), 4, scale, 0.3)
    opened = open_net(both, joined, caffe.TRAIN, backward=True)
    opened.blobs['data'].data[...] = data
    opened.forward()
    weighted = opened.blobs['distill_map_loss'].data * opened.blob_loss_weights['distill_map_loss']
    assert float(weighted.item()) == pytest.approx(
        0.3 * ((maps['student'] - wanted) ** 2).sum() / (wanted**2).sum(), rel=1e-4
    )
    opened.backward()
    expected = 0.3 * 2 * (maps['student'] - wanted) / (wanted**2).sum()
    np.testing.assert_allclose(opened.blobs['map'].diff, expected, rtol=1e-3, atol=1e-7)
    assert weights_of(student).layer == without_teacher(joined).layer
