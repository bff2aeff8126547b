"""From a net and pictures to int8: what is written, and that it is computed as it was simulated."""

import subprocess

import cv2
import numpy as np
import pytest
from masking import randomize
from repository import ROOT
from sphereslim.commands.program import find_command
from sphereslim.data.feed import feed_for
from sphereslim.engine import caffe_command
from sphereslim.errors import SlimError
from sphereslim.int8.calibrate import choose, prepare
from sphereslim.int8.calibration import read_calibration
from sphereslim.int8.points import int8_layers
from sphereslim.int8.prepare import equalize, equalized_pairs
from sphereslim.int8.ranges import extremes
from sphereslim.net.linear_weights import LinearWeights
from sphereslim.net.messages import copy_of
from sphereslim.net.opened import load_net, open_net, weights_of
from sphereslim.net.prototxt import parse_net, read_net, write_prototxt
from sphereslim.net.weights import weight_layers, write_weights
from sphereslim.rewrite.fold import fold
from sphereslim.rewrite.fold_check import output_difference
from sphereslim.rewrite.out_of_place import out_of_place
from sphereslim.sampling.sampler import Sampler

from caffe.export.ncnn.files import export_ncnn
from caffe.export.onnx_file import export_onnx
from readers import in_ncnn, in_onnxruntime

CONV = 'convolution_param { num_output: 8 kernel_size: 3 pad: 1 bias_term: false'
NET = f"""
name: "small"
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: 16 dim: 16 }} }} }}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1" {CONV} }} }}
layer {{ name: "norm" type: "BatchNorm" bottom: "conv1" top: "conv1" }}
layer {{ name: "relu1" type: "PReLU" bottom: "conv1" top: "conv1" }}
layer {{ name: "depthwise" type: "Convolution" bottom: "conv1" top: "depthwise" {CONV} group: 8 }} }}
layer {{ name: "relu2" type: "PReLU" bottom: "depthwise" top: "depthwise" }}
layer {{ name: "conv2" type: "Convolution" bottom: "depthwise" top: "conv2" {CONV} }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "conv2" bottom: "conv1" top: "sum" }}
layer {{ name: "conv3" type: "Convolution" bottom: "sum" top: "conv3" {CONV} }} }}
layer {{ name: "relu3" type: "ReLU" bottom: "conv3" top: "conv3" }}
layer {{ name: "pool" type: "Pooling" bottom: "conv3" top: "pool" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param {{ num_output: 16 }} }}
"""


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """A folder with net.prototxt, net.caffemodel and pictures."""
    folder = tmp_path_factory.mktemp('int8')
    net = parse_net(NET)
    opened = open_net(net)
    randomize(opened, np.random.default_rng(0))
    opened.params['norm'][1].data[...] = np.geomspace(0.001, 10, 8)
    write_prototxt(folder / 'net.prototxt', net)
    write_weights(folder / 'net.caffemodel', weights_of(opened))
    rng = np.random.default_rng(1)
    (folder / 'pictures').mkdir()
    for number in range(24):
        smooth = cv2.resize(rng.integers(0, 256, (4, 4, 3)).astype(np.uint8), (16, 16))
        cv2.imwrite(str(folder / 'pictures' / f'{number:02}.png'), smooth)
    return folder


@pytest.fixture
def model(work):
    return read_net(work / 'net.prototxt'), weights_of(load_net(work / 'net.prototxt', work / 'net.caffemodel'))


@pytest.fixture
def feed(work, model):
    return feed_for(model[0], sorted((work / 'pictures').iterdir()))


def calibrate(work, out, *words):
    arguments = [work / 'net.prototxt', work / 'net.caffemodel', '--images', work / 'pictures', '--out', out]
    find_command('calibrate').run([*map(str, arguments), '--count', '16', '--test-count', '8', *words])


def test_channels_reach_equally_far_once_equalized_and_outputs_stay(model, feed):
    folding = fold(*model)
    net, weights = out_of_place(folding.net), copy_of(folding.weights)
    assert equalized_pairs(net) == [('depthwise', 'depthwise', 'conv2'), ('conv3', 'pool', 'fc')]
    sampler = Sampler(open_net(net, weights), feed)
    stops = [sampler.after(layer.name, layer.top[0]) for layer in net.layer]
    values = {stop.blob: found for stop, found in zip(stops, extremes(sampler, stops))}
    equalize(net, weights, values)
    assert max(output_difference(model, (net, weights)).values()) < 1e-5
    by_name, stored = {layer.name: layer for layer in net.layer}, weight_layers(weights)
    taker = np.abs(LinearWeights(by_name['conv2'], stored['conv2']).weight).max((0, 1, 3))
    sampler = Sampler(open_net(net, weights), feed)
    (after,) = extremes(sampler, [sampler.after('relu2', 'depthwise')])
    reach = after.largest.reshape(8, -1).max(1)
    assert reach / taker == pytest.approx(np.full(8, (reach / taker)[0]), rel=1e-3)


def test_moving_biases_brings_the_mean_output_back(model, feed):
    def mean_shift(corrected):
        prepared = prepare(*model, feed, corrected=corrected)
        layers = int8_layers(prepared.net)
        nets = [open_net(net, prepared.weights) for net in (prepared.simulated(layers), prepared.net)]
        (inputs,) = feed()
        for net in nets:
            net.blobs['data'].reshape(*inputs['data'].shape)
            net.blobs['data'].data[...] = inputs['data']
        plain = open_net(*model)
        plain.blobs['data'].reshape(*inputs['data'].shape)
        plain.blobs['data'].data[...] = inputs['data']
        return np.abs((nets[0].forward()['fc'] - plain.forward()['fc']).mean(0)).mean()

    assert mean_shift(True) < mean_shift(False)


def test_layers_go_to_float32_until_no_more_than_the_floor_is_lost(model, feed):
    prepared = prepare(*model, feed)
    free = choose(prepared, feed, floor=1)
    assert free.layers == int8_layers(prepared.net) and free.loss == free.whole > 0 and not free.float_layers
    strict = choose(prepared, feed, floor=free.whole / 2)
    assert strict.loss <= free.whole / 2 and strict.float_layers and set(strict.layers) < set(free.layers)
    costs = list(strict.float_layers.values())
    assert costs == sorted(costs, reverse=True)
    assert choose(prepared, feed, floor=0).layers == []


@pytest.mark.parametrize('reader', ['onnxruntime', 'ncnn'])
def test_the_command_writes_a_net_with_the_outputs_it_had_and_what_readers_need(work, tmp_path, capsys, reader):
    calibrate(work, tmp_path, '--reader', reader, '--floor', '1', '--float', 'fc')
    said = capsys.readouterr().out
    assert "float32: layer 'fc'\n" in said and '4 layers and' in said
    calibration, net, weights = read_calibration(tmp_path / 'calibration.json')
    before = read_net(work / 'net.prototxt'), weights_of(load_net(work / 'net.prototxt', work / 'net.caffemodel'))
    assert max(output_difference(before, (net, weights)).values()) < 0.1  # biases moved
    assert list(calibration.layers) == ['conv1', 'depthwise', 'conv2', 'conv3'] and calibration.float == {'fc': None}
    stored = weight_layers(weights)
    for name, layer in calibration.layers.items():
        largest = np.array(stored[name].blobs[0].data)
        assert layer.thresholds == pytest.approx(np.abs(largest.reshape(8, -1)).max(1), rel=1e-6)
        low, high = calibration.blobs[layer.bottom]
        assert low == -high if reader == 'ncnn' else low <= 0 < high
    again = tmp_path / 'again'
    calibrate(work, again, '--reader', reader, '--floor', '1', '--float', 'fc')
    for name in ('calibration.json', 'simulated.prototxt', 'net.caffemodel'):
        assert (tmp_path / name).read_bytes() == (again / name).read_bytes()


def test_a_stopped_run_goes_on_and_other_settings_are_told(work, tmp_path, capsys):
    calibrate(work, tmp_path, '--floor', '0')
    costs = (tmp_path / 'costs.json').read_bytes()
    calibrate(work, tmp_path, '--floor', '0')
    assert (tmp_path / 'costs.json').read_bytes() == costs
    with pytest.raises(
        SlimError, match='costs.json: holds results of another subject .method percentile, asked for kl'
    ):
        calibrate(work, tmp_path, '--floor', '0', '--method', 'kl')


@pytest.mark.parametrize(
    'words, expected',
    [
        (('--float', 'norm'), "--float 'norm' cannot multiply in int8, expected some of: conv1, "),
        (('--out', '.'), 'holds an input, expected another output folder'),
    ],
)
def test_wrong_requests_are_told(work, tmp_path, monkeypatch, words, expected):
    monkeypatch.chdir(work)
    with pytest.raises(SlimError, match=expected):
        calibrate(work, tmp_path, *words)


def test_files_that_changed_since_or_are_no_calibration_are_told(work, tmp_path):
    calibrate(work, tmp_path, '--floor', '1')
    (tmp_path / 'other.json').write_text('{"format": 1}')
    with pytest.raises(SlimError, match='other.json: is no calibration of format 1'):
        read_calibration(tmp_path / 'other.json')
    with (tmp_path / 'net.prototxt').open('a') as file:
        file.write('# changed\n')
    with pytest.raises(SlimError, match='changed since they were calibrated'):
        read_calibration(tmp_path / 'calibration.json')


def embeddings(folder, name, pictures):
    """Those of `folder`/`name` with the calibrated weights, one row a picture."""
    net = load_net(folder / name, folder / 'net.caffemodel')
    net.blobs['data'].reshape(*pictures.shape)
    net.blobs['data'].data[...] = pictures
    return net.forward()['fc'].copy()


def distances(found, wanted):
    """‖found − wanted‖ / ‖wanted‖ of every row."""
    return np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)


def assert_computes_what_was_simulated(found, folder, pictures):
    """Within the bound of docs/int8.md, and far closer to the simulated net than that is to the one in float32."""
    simulated, whole = (embeddings(folder, name, pictures) for name in ('simulated.prototxt', 'net.prototxt'))
    off = distances(found, simulated)
    assert off.max() < 0.02
    assert off.mean() < distances(simulated, whole).mean() / 3


def test_onnxruntime_computes_in_int8_what_was_simulated(work, tmp_path, feed):
    onnx = pytest.importorskip('onnx', reason='onnx is not installed')
    calibrate(work, tmp_path, '--floor', '1')
    path = tmp_path / 'int8.onnx'
    export_onnx(load_net(tmp_path / 'simulated.prototxt', tmp_path / 'net.caffemodel'), str(path))
    (inputs,) = feed()
    found = [in_onnxruntime(path, {'data': picture[None]}, ['fc'])['fc'][0] for picture in inputs['data']]
    assert_computes_what_was_simulated(np.stack(found), tmp_path, inputs['data'])
    assert_multiplies_in_int8(onnx, path)


def assert_multiplies_in_int8(onnx, path):
    """onnxruntime has kernels in int8 for all four convolutions and the inner product."""
    ort = pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    optimized = path.with_name('optimized.onnx')
    options = ort.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(optimized), 3
    ort.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    kinds = [node.op_type for node in onnx.load(optimized).graph.node]
    assert kinds.count('QLinearConv') == 4 and 'QGemm' in kinds and 'Conv' not in kinds and 'Gemm' not in kinds


def test_ncnn_computes_in_int8_what_was_simulated(work, tmp_path, feed):
    calibrate(work, tmp_path, '--floor', '1', '--reader', 'ncnn')
    path = tmp_path / 'int8.param'
    net = load_net(tmp_path / 'net.prototxt', tmp_path / 'net.caffemodel')
    export_ncnn(net, str(path), str(tmp_path / 'calibration.json'))
    (inputs,) = feed()
    found = [in_ncnn(path, {'data': picture[None]}, ['fc'])['fc'] for picture in inputs['data']]
    assert_computes_what_was_simulated(np.stack(found), tmp_path, inputs['data'])


def test_caffe_train_fine_tunes_the_simulated_net(work, tmp_path):
    calibrate(work, tmp_path, '--floor', '1', '--learn-ranges')
    net = read_net(tmp_path / 'simulated.prototxt')
    net.layer.add(name='target', type='DummyData', top=['t'], dummy_data_param={'shape': [{'dim': [8, 16]}]})
    net.layer.add(name='loss', type='EuclideanLoss', bottom=['fc', 't'], top=['loss'])
    net.layer[0].CopyFrom(
        type(net.layer[0])(
            name='data',
            type='DummyData',
            top=['data'],
            dummy_data_param={'shape': [{'dim': [8, 3, 16, 16]}], 'data_filler': [{'type': 'gaussian', 'std': 0.5}]},
        )
    )
    write_prototxt(tmp_path / 'train.prototxt', net)
    (tmp_path / 'solver.prototxt').write_text(
        f'net: "{tmp_path}/train.prototxt" base_lr: 0.0001 lr_policy: "fixed" max_iter: 5 random_seed: 1 '
        f'snapshot_prefix: "{tmp_path}/s"\n'
    )
    words = ['train', '-solver', tmp_path / 'solver.prototxt', '-weights', tmp_path / 'net.caffemodel']
    subprocess.run([*caffe_command(), *map(str, words)], check=True, capture_output=True, cwd=ROOT)
    before, after = (
        {name: [np.array(blob.data) for blob in layer.blobs] for name, layer in weight_layers(weights).items()}
        for weights in (
            weights_of(load_net(tmp_path / 'simulated.prototxt', tmp_path / path))
            for path in ('net.caffemodel', 's_iter_5.caffemodel')
        )
    )
    for name in ('conv1', 'conv1/int8', 'fc'):
        assert any((a != b).any() for a, b in zip(before[name], after[name])), name
