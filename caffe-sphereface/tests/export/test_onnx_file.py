"""Exported nets give the same outputs in onnxruntime."""

import numpy as np
import pytest
from repository import ROOT

import caffe
from caffe.cli.main import main
from caffe.export.onnx_file import export_onnx
from golden_cases import CASES, GOLDENS, TRAINING, golden_net, named
from layer_case import layer, make_net
from random_parameters import randomise

pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')

DEPLOYS = sorted((ROOT / 'prototxt').rglob('deploy.prototxt')) + sorted((ROOT / 'prototxt').rglob('det?.prototxt'))
# a threshold that moves
NO_ONNX = (*TRAINING, 'detout_eta')


def assert_onnx_agrees(net, path, any_batch=False, tolerance=1e-4):
    """Outputs of the file at `path` equal the net's, relative to their largest value."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    export_onnx(net, str(path), any_batch)
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    wanted = {name: array.copy() for name, array in net.forward().items()}
    got = session.run(list(wanted), {i.name: net.blobs[i.name].data for i in session.get_inputs()})
    for (name, want), have in zip(wanted.items(), got):
        assert have.shape == want.shape, name
        most = np.nanmax(np.abs(want), initial=1e-3)
        np.testing.assert_allclose(have, want, rtol=0, atol=tolerance * most, err_msg=name)
    return session


@pytest.mark.parametrize('deploy', DEPLOYS, ids=lambda path: str(path.relative_to(ROOT / 'prototxt').with_suffix('')))
def test_every_deploy_net_of_the_repository(deploy, tmp_path):
    net = caffe.Net(str(deploy), caffe.TEST)
    randomise(net)
    values = np.random.default_rng(1)
    for name in net.inputs:
        net.blobs[name].reshape(1, *net.blobs[name].shape[1:])
        net.blobs[name].data[...] = values.standard_normal(net.blobs[name].shape)
    assert_onnx_agrees(net, tmp_path / 'net.onnx')


@pytest.mark.skipif(not CASES, reason=f'no goldens in {GOLDENS} (set SHARED to the folder that holds them)')
@pytest.mark.parametrize('case', [case for case in CASES if not case.name.startswith(NO_ONNX)], ids=named)
def test_layers_on_the_inputs_of_the_goldens(case, tmp_path):
    assert_onnx_agrees(golden_net(case), tmp_path / 'net.onnx')


@pytest.mark.parametrize(
    'text, shapes',
    [
        (layer('Swish', extra='swish_param { beta: 2 }'), {'x': (2, 5)}),
        (layer('Clip', extra='clip_param { min: -0.5 max: 0.5 }'), {'x': (2, 5)}),
        (layer('Log', extra='log_param { base: 2 scale: 0.1 shift: 9 }'), {'x': (2, 5)}),
        (layer('Power', extra='power_param { power: 2 scale: 0 shift: 3 }'), {'x': (2, 5)}),
        (layer('Pooling', extra='pooling_param { kernel_size: 3 stride: 2 round_mode: FLOOR }'), {'x': (2, 3, 8, 8)}),
        (layer('Pooling', extra='pooling_param { kernel_size: 3 stride: 3 pad: 2 pool: AVE }'), {'x': (1, 2, 7, 6)}),
        (layer('Pooling', extra='pooling_param { kernel_size: 2 stride: 3 pool: AVE }'), {'x': (1, 2, 9, 7)}),
        (layer('Pooling', extra='pooling_param { kernel_size: 4 stride: 4 pad: 3 }'), {'x': (1, 2, 9, 7)}),
        # two means with pads behind each other, which onnxruntime cannot optimize with Pad nodes
        (
            layer('Pooling', extra='pooling_param { kernel_size: 4 pad: 3 pool: AVE }')
            + layer('Pooling', 'y', 'z', 'pooling_param { kernel_size: 4 pad: 3 pool: AVE }').replace(
                '"layer"', '"second"'
            )
            + layer('Dropout', 'y', 'w').replace('"layer"', '"third"'),
            {'x': (1, 2, 9, 7)},
        ),
        (layer('Dropout', extra='dropout_param { dropout_ratio: 0.2 scale_train: false }'), {'x': (2, 5)}),
        (layer('SPP', extra='spp_param { pyramid_height: 1 }'), {'x': (1, 2, 9, 7)}),
        (layer('Reduction', extra='reduction_param { axis: 1 operation: SUMSQ coeff: 2 }'), {'x': (2, 3, 4)}),
        (layer('ArgMax', extra='argmax_param { top_k: 2 out_max_val: true }'), {'x': (2, 3, 4)}),
        (layer('ArgMax', extra='argmax_param { axis: 2 top_k: 2 }'), {'x': (2, 3, 4)}),
        (layer('Normalize', tops='y n', extra='normalize_param { normalize_type: "L1" }'), {'x': (2, 3, 4, 4)}),
        (layer('MVN', extra='mvn_param { across_channels: true }'), {'x': (2, 3, 4, 4)}),
        (layer('MVN'), {'x': (2, 3)}),
        (layer('Convolution', extra='convolution_param { num_output: 2 kernel_size: 2 }'), {'x': (1, 2, 4, 4, 4)}),
        (
            layer('Convolution', 'a b', 'c d', 'convolution_param { num_output: 2 kernel_size: 2 }'),
            {'a': (1, 2, 4, 4), 'b': (1, 2, 4, 4)},
        ),
        (layer('InnerProduct', extra='inner_product_param { num_output: 3 axis: 2 }'), {'x': (2, 3, 4)}),
        (
            layer('InnerProduct', 'x w b', extra='inner_product_param { num_output: 3 }'),
            {'x': (2, 4), 'w': (3, 4), 'b': (3,)},
        ),
        (layer('Filter', 'x s', 'y'), {'x': (3, 4), 's': (3,)}),
        (layer('Bias', 'x b', 'y', 'bias_param { axis: 0 }'), {'x': (3, 4), 'b': (3,)}),
        (layer('LSTM', 'x cont', 'y', 'recurrent_param { num_output: 4 }'), {'x': (3, 2, 5), 'cont': (3, 2)}),
        (
            layer('RNN', 'x cont s', 'y', 'recurrent_param { num_output: 4 }'),
            {'x': (3, 2, 5), 'cont': (3, 2), 's': (2, 6)},
        ),
        (layer('LSTMUnit', 'c g cont', 'd h'), {'c': (1, 2, 3), 'g': (1, 2, 12), 'cont': (1, 2)}),
    ],
)
def test_layers_and_options_beyond_the_goldens(text, shapes, tmp_path):
    net = make_net(text, shapes)
    randomise(net)
    if 's' in shapes and len(shapes['s']) == 1:
        net.blobs['s'].data[...] = [1, 0, 1]
    if 'cont' in shapes:
        net.blobs['cont'].data[...] = np.arange(net.blobs['cont'].count).reshape(shapes['cont']) % 3 > 0
    assert_onnx_agrees(net, tmp_path / 'net.onnx')


@pytest.mark.parametrize('tops, pool', [('y', 'MAX'), ('y m', 'MAX'), ('y', 'AVE')])
def test_empty_windows_stay(tops, pool, tmp_path):
    net = make_net(
        layer('Pooling', tops=tops, extra=f'pooling_param {{ pool: {pool} kernel_size: 1 stride: 3 }}'),
        {'x': (2, 3, 6, 5)},
    )
    export_onnx(net, str(tmp_path / 'net.onnx'))
    session = onnxruntime.InferenceSession(str(tmp_path / 'net.onnx'), providers=['CPUExecutionProvider'])
    for name, have in zip(tops.split(), session.run(tops.split(), {'x': net.blobs['x'].data})):
        np.testing.assert_array_equal(have, net.forward()[name])


def test_an_open_batch_takes_any_number_of_items(tmp_path):
    net = caffe.Net(str(ROOT / 'prototxt' / 'sphereface-4' / 'deploy.prototxt'), caffe.TEST)
    name = net.inputs[0]
    net.blobs[name].reshape(1, *net.blobs[name].shape[1:])
    session = assert_onnx_agrees(net, tmp_path / 'net.onnx', any_batch=True)
    images = np.random.default_rng(0).standard_normal((3, *net.blobs[name].shape[1:])).astype('f')
    got = session.run(None, {name: images})[0]
    net.blobs[name].reshape(*images.shape)
    assert np.allclose(got, net.forward(**{name: images})[net.outputs[0]], atol=1e-4)


DETECTOR = (
    'layer { name: "f" type: "DepthwiseConvolution" bottom: "x" top: "f" convolution_param { num_output: 6 group: 3 '
    'kernel_size: 3 stride: 2 weight_filler { type: "xavier" } } }\n'
    'layer { name: "r" type: "ReLU6" bottom: "f" top: "f" }\n'
    'layer { name: "p" type: "PriorBox" bottom: "f" bottom: "x" top: "p" '
    'prior_box_param { min_size: 4 aspect_ratio: 2 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }\n'
    + ''.join(
        f'layer {{ name: "{n}" type: "Convolution" bottom: "f" top: "{n}" convolution_param {{ num_output: {outputs} '
        'kernel_size: 1 weight_filler { type: "gaussian" std: 1 } } }\n'
        f'layer {{ name: "{n}p" type: "Permute" bottom: "{n}" top: "{n}p" permute_param '
        '{ order: 0 order: 2 order: 3 order: 1 } }\n'
        for n, outputs in (('l', 12), ('c', 9))
    )
    + 'layer { name: "lf" type: "Flatten" bottom: "lp" top: "lf" }\n'
    'layer { name: "cr" type: "Reshape" bottom: "cp" top: "cr" reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }\n'
    'layer { name: "s" type: "Softmax" bottom: "cr" top: "s" softmax_param { axis: 2 } }\n'
    'layer { name: "sf" type: "Flatten" bottom: "s" top: "sf" }\n'
    'layer { name: "found" type: "DetectionOutput" bottom: "lf" bottom: "sf" bottom: "p" top: "found" '
    'detection_output_param { num_classes: 3 code_type: CENTER_SIZE keep_top_k: 9 confidence_threshold: 0.4 '
    'nms_param { nms_threshold: 0.4 top_k: 20 } } }\n'
)


def test_a_detector_gives_the_same_boxes_for_any_number_of_pictures(tmp_path):
    net = make_net(DETECTOR, {'x': (2, 3, 15, 13)})
    session = assert_onnx_agrees(net, tmp_path / 'net.onnx', any_batch=True)
    assert session.get_outputs()[0].shape == [1, 1, 'found_2', 7]
    net.blobs['x'].reshape(3, 3, 15, 13)
    net.blobs['x'].data[...] = np.random.default_rng(5).standard_normal((3, 3, 15, 13))
    (found,) = session.run(['found'], {'x': net.blobs['x'].data})
    want = net.forward()['found']
    assert want.shape[2] > 9 and set(want[0, 0, :, 0]) == {0, 1, 2}
    np.testing.assert_allclose(found, want, atol=1e-4 * np.abs(want).max())


def test_a_moving_threshold_of_suppression_has_no_form_in_onnx(tmp_path):
    net = make_net(DETECTOR.replace('top_k: 20', 'eta: 0.9'), {'x': (1, 3, 15, 13)})
    with pytest.raises(caffe.CaffeError, match="layer 'found' .*: has eta 0.9, expected 1"):
        export_onnx(net, str(tmp_path / 'net.onnx'))


def test_recurrent_nets_have_no_open_batch(tmp_path):
    net = make_net(layer('RNN', 'x c', 'y', 'recurrent_param { num_output: 4 }'), {'x': (3, 2, 5), 'c': (3, 2)})
    with pytest.raises(caffe.CaffeError, match='layer'):
        export_onnx(net, str(tmp_path / 'net.onnx'), any_batch=True)
    assert not (tmp_path / 'net.onnx').exists()


def test_the_command_writes_a_model_with_the_weights(tmp_path, capsys):
    text = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 } } }\n' + layer(
        'InnerProduct', extra='inner_product_param { num_output: 3 weight_filler { type: "xavier" } }'
    )
    (tmp_path / 'net.prototxt').write_text(text)
    net = caffe.Net(str(tmp_path / 'net.prototxt'), caffe.TEST)
    net.save(str(tmp_path / 'net.caffemodel'))
    out = tmp_path / 'net.onnx'
    assert (
        main(
            [
                'export',
                '--onnx',
                str(out),
                '-model',
                f'{tmp_path}/net.prototxt',
                '-weights',
                f'{tmp_path}/net.caffemodel',
            ]
        )
        == 0
    )
    x = np.ones((2, 4), 'f')
    got = onnxruntime.InferenceSession(str(out), providers=['CPUExecutionProvider']).run(None, {'x': x})[0]
    assert np.allclose(got, net.forward(x=x)['y'], atol=1e-5)


def test_what_has_no_form_in_onnx_is_named_and_nothing_is_written(tmp_path, capsys):
    text = 'layer { name: "x" type: "Input" top: "x" top: "l" input_param { shape { dim: 2 } } }\n' + layer(
        'EuclideanLoss', 'x l'
    )
    (tmp_path / 'net.prototxt').write_text(text)
    out = tmp_path / 'net.onnx'
    assert main(['export', f'-onnx={out}', f'-model={tmp_path}/net.prototxt']) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('caffe: ') and "'layer' (EuclideanLoss)" in error and not out.exists()
    assert main(['export', f'-model={tmp_path}/net.prototxt']) == 1
    assert '-onnx and -ncnn are missing' in capsys.readouterr().err
