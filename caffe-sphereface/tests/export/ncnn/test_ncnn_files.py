"""Nets written for ncnn give the same outputs there."""

import numpy as np
import pytest
from repository import ROOT

import caffe
from caffe.cli.main import main
from caffe.errors import CaffeError
from caffe.export.ncnn.files import export_ncnn, to_ncnn
from caffe.export.ncnn.graph import Weight
from golden_cases import CASES, GOLDENS, TRAINING, golden_net, named
from layer_case import layer, make_net
from random_parameters import randomise
from readers import in_ncnn

DEPLOYS = sorted((ROOT / 'prototxt').rglob('deploy.prototxt')) + sorted((ROOT / 'prototxt').rglob('det?.prototxt'))
# without an exact form in ncnn
REFUSED = (
    *TRAINING,
    'argmax',
    'batchreindex',
    'channel_scale',
    'detout',
    'embed',
    'flip',
    'im2col',
    'inner_distance',
    'ip_axis2',
    'lsadd',
    'lstm',
    'normface_bp_norm',
    'normface_l1',
    'normface_norm',
    'permute_3d',
    'permute_batch',
    'pool_floor_mask',
    'pool_max_mask',
    'pool_upsample',
    'priorbox',
    'reduce',
    'rnn',
    'roi_pool',
    'scale_axis0',
    'scale_two_bottoms',
    'spp',
    'upsample_mask',
)


def assert_ncnn_agrees(net, folder, tolerance=1e-4):
    """The first item of every output equals the net's, relative to its largest value."""
    path = folder / 'net.param'
    export_ncnn(net, str(path))
    wanted = {name: array.copy() for name, array in net.forward().items()}
    got = in_ncnn(path, {name: net.blobs[name].data[:1] for name in net.inputs}, wanted)
    for name, array in wanted.items():
        want, most = array[0], np.nanmax(np.abs(array[0]), initial=1e-3)
        assert got[name].shape == want.shape, name
        np.testing.assert_allclose(got[name], want, rtol=0, atol=tolerance * most, err_msg=name)


@pytest.mark.parametrize('deploy', DEPLOYS, ids=lambda path: str(path.relative_to(ROOT / 'prototxt').with_suffix('')))
def test_every_deploy_net_of_the_repository(deploy, tmp_path):
    net = caffe.Net(str(deploy), caffe.TEST)
    randomise(net)
    values = np.random.default_rng(1)
    for name in net.inputs:
        net.blobs[name].reshape(1, *net.blobs[name].shape[1:])
        net.blobs[name].data[...] = values.standard_normal(net.blobs[name].shape)
    assert_ncnn_agrees(net, tmp_path)


@pytest.mark.skipif(not CASES, reason=f'no goldens in {GOLDENS} (set SHARED to the folder that holds them)')
@pytest.mark.parametrize('case', [case for case in CASES if not case.name.startswith(REFUSED)], ids=named)
def test_layers_on_the_inputs_of_the_goldens(case, tmp_path):
    assert_ncnn_agrees(golden_net(case), tmp_path)


@pytest.mark.skipif(not CASES, reason=f'no goldens in {GOLDENS} (set SHARED to the folder that holds them)')
@pytest.mark.parametrize('case', [case for case in CASES if case.name.startswith(REFUSED)], ids=named)
def test_layers_without_an_exact_form_are_refused_before_anything_is_written(case, tmp_path):
    with pytest.raises(CaffeError, match='expected|expects|ncnn'):
        export_ncnn(golden_net(case), str(tmp_path / 'net.param'))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    'text, shapes',
    [
        (layer('Swish', extra='swish_param { beta: 2 }'), {'x': (1, 5)}),
        (layer('Clip', extra='clip_param { min: -0.5 max: 0.5 }'), {'x': (1, 5)}),
        (layer('Log', extra='log_param { base: 2 scale: 0.1 shift: 9 }'), {'x': (1, 5)}),
        (layer('ReLU6', extra='relu6_param { negative_slope: 0.5 }'), {'x': (1, 5)}),
        (layer('Dropout', extra='dropout_param { dropout_ratio: 0.2 scale_train: false }'), {'x': (1, 5)}),
        (layer('Pooling', extra='pooling_param { global_pooling: true }'), {'x': (1, 3, 8, 6)}),
        (layer('Pooling', extra='pooling_param { kernel_size: 3 stride: 2 round_mode: FLOOR }'), {'x': (1, 3, 8, 8)}),
        (layer('Pooling', extra='pooling_param { kernel_size: 3 stride: 3 pad: 2 pool: AVE }'), {'x': (1, 2, 7, 6)}),
        (layer('Pooling', extra='pooling_param { kernel_size: 4 stride: 4 pad: 3 }'), {'x': (1, 2, 9, 7)}),
        (layer('Pooling', extra='pooling_param { kernel_h: 1 kernel_w: 4 stride: 2 }'), {'x': (1, 2, 9, 7)}),
        (
            layer('Convolution', extra='convolution_param { num_output: 6 group: 2 kernel_h: 1 kernel_w: 3 pad_w: 1 }'),
            {'x': (1, 4, 5, 6)},
        ),
        (
            layer('Convolution', 'a b', 'c d', 'convolution_param { num_output: 2 kernel_size: 2 }'),
            {'a': (1, 2, 4, 4), 'b': (1, 2, 4, 4)},
        ),
        (
            layer('Deconvolution', extra='convolution_param { num_output: 6 group: 2 kernel_size: 3 stride: 2 }'),
            {'x': (1, 4, 5, 6)},
        ),
        (layer('InnerProduct', extra='inner_product_param { num_output: 3 }'), {'x': (1, 4, 5)}),
        (layer('InnerProduct', extra='inner_product_param { num_output: 3 transpose: true }'), {'x': (1, 4, 2, 3)}),
        (layer('Scale', extra='scale_param { axis: 1 num_axes: -1 bias_term: true }'), {'x': (1, 2, 4, 3)}),
        (layer('Scale', extra='scale_param { axis: 2 num_axes: 1 }'), {'x': (1, 2, 4, 3)}),
        (layer('Scale', 'x s', 'y', 'scale_param { axis: 0 bias_term: true }'), {'x': (1, 3, 4, 4), 's': (1, 3)}),
        (layer('Eltwise', 'x x x', 'y', 'eltwise_param { coeff: [1, -2, 0.5] }'), {'x': (1, 3)}),
        (layer('Softmax', extra='softmax_param { axis: 2 }'), {'x': (1, 3, 4, 5)}),
        (layer('NormL2'), {'x': (1, 3, 4, 5)}),
        (layer('NormL2'), {'x': (1, 7)}),
    ],
)
def test_layers_and_options_beyond_the_goldens(text, shapes, tmp_path):
    net = make_net(text, shapes)
    randomise(net)
    assert_ncnn_agrees(net, tmp_path)


def test_each_value_has_one_reader_and_the_last_one_of_a_blob_has_its_name():
    text = layer('PReLU', 'x', 'x') + layer('Power', 'x', 'a', 'power_param { scale: 2 }').replace('"layer"', '"twice"')
    text += layer('TanH', 'a', 'a').replace('"layer"', '"in place"') + layer('Eltwise', 'x a', 'y').replace(
        'layer"', 'sum"'
    )
    layers = to_ncnn(make_net(text, {'x': (1, 3, 2, 2)}))
    assert [made.type for made in layers] == ['Input', 'PReLU', 'Split', 'Power', 'TanH', 'Eltwise']
    read = [bottom for made in layers for bottom in made.bottoms]
    assert len(read) == len({*read})
    assert [made.tops for made in layers if made.type != 'Split'] == [['x'], ['x/layer'], ['a/twice'], ['a'], ['y']]
    assert layers[4].name == 'in_place'


def test_numbers_of_float_parameters_look_like_floats_and_come_back_exactly():
    (made,) = to_ncnn(make_net(layer('Power', extra='power_param { power: 2 scale: 0.1 shift: -3 }'), {'x': (1, 3)}))[
        1:
    ]
    values = dict(word.split('=') for word in made.to_text().split()[-3:])
    assert all('e' in text and '.' in text for text in values.values())
    assert [np.float32(values[key]) for key in '012'] == [2, np.float32(0.1), -3]


def test_weights_have_a_flag_where_ncnn_reads_one_and_fill_words_of_four_bytes():
    assert Weight(np.float32([1.5]), flagged=True).to_bytes() == b'\0\0\0\0' + np.float32(1.5).tobytes()
    assert Weight(np.float32([1.5])).to_bytes() == np.float32(1.5).tobytes()
    assert Weight(np.int8([1, -2, 3]), flagged=True).to_bytes() == b'\x38\x4b\x0d\0\x01\xfe\x03\0'


DEPLOY = ROOT / 'prototxt/sphereface-4/deploy.prototxt'


def test_the_command_writes_both_files_and_says_what_goes_in_and_out(tmp_path, capsys):
    path = tmp_path / 'net.param'
    assert main(['export', '-ncnn', str(path), '-model', str(DEPLOY)]) == 0
    assert capsys.readouterr().out == f'{path}, {path.with_suffix(".bin")}: inputs data; outputs fc5\n'
    lines = path.read_text().splitlines()
    assert lines[0] == '7767517'
    assert lines[1].split()[0] == str(len(lines) - 2)


@pytest.mark.parametrize(
    'words, message',
    [
        (['-ncnn', 'net.txt'], 'net.txt: expected a name that ends in .param'),
        ([], '-onnx and -ncnn are missing, expected one of them at least'),
        (['-ncnn', 'no/net.param'], 'no/net.bin: cannot be written'),
    ],
)
def test_the_command_refuses_what_it_cannot_write_in_one_line(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['export', *words, '-model', str(DEPLOY)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f'caffe: {message}')
    assert captured.err.count('\n') == 1
    assert not [*tmp_path.iterdir()]
