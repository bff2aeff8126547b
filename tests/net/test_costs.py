"""Costs of networks against hand-computed figures, and which layers count as what."""

import json
import subprocess
import sys

import numpy as np
import pytest
from repository import PROTOTXT_FILES, ROOT, SHARED
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.net.costs import measure, one_picture, open_with_inputs, total
from sphereslim.net.prototxt import parse_net, read_net

NETS = [path for path in PROTOTXT_FILES if not path.name.startswith('solver')]
SMALL = """
name: "small"
layer { name: "data" type: "ImageData" top: "data" top: "label" image_data_param { new_height: 8 new_width: 6 } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 } }
layer { name: "n" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "d" type: "Convolution" bottom: "c" top: "d"
        convolution_param { num_output: 4 group: 4 kernel_size: 3 pad: 1 bias_term: false } }
layer { name: "s" type: "Eltwise" bottom: "c" bottom: "d" top: "s" }
layer { name: "p" type: "InnerProduct" bottom: "s" top: "p" inner_product_param { num_output: 5 } }
layer { name: "r" type: "ReLU" bottom: "p" top: "p" }
layer { name: "q" type: "InnerProduct" bottom: "p" top: "q" inner_product_param { num_output: 7 } }
layer { name: "out" type: "InnerProduct" bottom: "p" top: "out" inner_product_param { num_output: 2 } }
layer { name: "drop" type: "Dropout" bottom: "out" top: "out" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "out" bottom: "label" top: "loss" }
layer { name: "acc" type: "Accuracy" bottom: "out" bottom: "label" top: "acc" }
"""
FORKS = """
name: "forks"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 dim: 8 dim: 6 } } }
layer { name: "d" type: "DepthwiseConvolution" bottom: "data" top: "d"
        convolution_param { num_output: 8 group: 4 kernel_size: 3 pad: 1 bias_term: false } }
layer { name: "e" type: "ConvolutionDepthwise" bottom: "d" top: "e"
        convolution_param { num_output: 99 kernel_size: 3 pad: 1 stride: 2 } }
layer { name: "p" type: "BN" bottom: "e" top: "e" }
layer { name: "s" type: "BN" bottom: "e" top: "s" bn_param { bn_mode: INFERENCE } }
"""
SHARING = """
layer { name: "i" type: "Input" top: "x" top: "y"
        input_param { shape { dim: 6 dim: 3 } shape { dim: 6 } } }
layer { name: "e" type: "InterClass" bottom: "x" bottom: "y" top: "e" param { name: "w" }
        inter_class_param { num_output: 10 } }
layer { name: "m" type: "MarginInnerProduct" bottom: "x" bottom: "y" top: "m" top: "lambda" param { name: "w" }
        margin_inner_product_param { num_output: 10 } }
layer { name: "l" type: "SoftmaxWithLoss" bottom: "m" bottom: "y" top: "l" }
"""


def by_name(net, *args):
    return {s.name: s for s in measure(net, *args)}


def test_costs_of_a_small_net():
    stats = by_name(parse_net(SMALL))
    assert stats['c'].shape == (1, 4, 4, 3)
    assert (stats['c'].parameters, stats['c'].macs, stats['c'].activation_bytes) == (112, 108 * 12, 4 * 48)
    assert (stats['d'].weights, stats['d'].parameters, stats['d'].macs) == (36, 36, 36 * 12)
    assert (stats['n'].parameters, stats['n'].statistics, stats['n'].activation_bytes) == (0, 9, 0)
    assert (stats['p'].parameters, stats['p'].macs) == (48 * 5 + 5, 240)
    assert all(s.zeros is None for s in stats.values())


def test_layers_are_told_apart_by_their_connections():
    kinds = {name: s.kind for name, s in by_name(parse_net(SMALL)).items()}
    assert {name for name, kind in kinds.items() if kind != 'network'} == {'data', 'out', 'drop', 'loss', 'acc'}
    assert kinds['data'] == 'data' and kinds['out'] == 'classifier'
    assert kinds['loss'] == kinds['acc'] == kinds['drop'] == 'loss'


def test_costs_grow_with_the_batch():
    one, four = (total(measure(parse_net(SMALL), (n, 3, 8, 6))) for n in (1, 4))
    assert four.macs == 4 * one.macs and four.parameters == one.parameters
    assert one.model_bytes == 4 * (one.parameters + 9)


@pytest.mark.parametrize(
    'second',
    [
        'top: "y" input_param { shape { dim: 4 dim: 3 dim: 5 dim: 5 } shape { dim: 4 dim: 3 dim: 5 dim: 5 } } }',
        'input_param { shape { dim: 4 dim: 3 dim: 5 dim: 5 } } } '
        'layer { name: "j" type: "Input" top: "y" input_param { shape { dim: 4 dim: 3 dim: 5 dim: 5 } } }',
    ],
)
def test_a_net_of_several_inputs_is_measured_for_one_picture_of_each(second):
    net = parse_net(
        f'layer {{ name: "i" type: "Input" top: "x" {second} '
        'layer { name: "s" type: "Eltwise" bottom: "x" bottom: "y" top: "s" } '
        'layer { name: "c" type: "Convolution" bottom: "s" top: "c" '
        'convolution_param { num_output: 6 kernel_size: 1 } }'
    )
    assert one_picture(net).macs == 3 * 6 * 25


def test_deconvolution_uses_weights_once_per_input_position():
    if 'Deconvolution' not in caffe.layer_type_list():
        pytest.skip('this Caffe has no Deconvolution')
    stats = by_name(
        parse_net("""
        layer { name: "i" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } } }
        layer { name: "u" type: "Deconvolution" bottom: "x" top: "u"
                convolution_param { num_output: 6 kernel_size: 4 stride: 2 bias_term: false } }""")
    )
    assert stats['u'].macs == 3 * 6 * 16 * 2 * 5 * 4


def test_a_convolution_of_several_blobs_costs_what_each_of_them_does():
    stats = by_name(
        parse_net("""
        layer { name: "i" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } } }
        layer { name: "c" type: "Convolution" bottom: "x" bottom: "y" top: "c1" top: "c2"
                convolution_param { num_output: 6 kernel_size: 2 bias_term: false } }
        layer { name: "u" type: "Deconvolution" bottom: "x" bottom: "y" top: "u1" top: "u2"
                convolution_param { num_output: 6 kernel_size: 4 stride: 2 bias_term: false } }""")
    )
    assert stats['c'].macs == 2 * (3 * 6 * 4 * 2 * 4 * 3)
    assert stats['u'].macs == 2 * (3 * 6 * 16 * 2 * 5 * 4)


def test_shared_weights_count_once():
    stats = by_name(parse_net(SHARING))
    assert {s.kind for s in stats.values()} == {'data', 'classifier', 'loss'}
    assert stats['e'].kind == 'loss' and stats['m'].kind == 'classifier'
    assert stats['e'].parameters + stats['m'].parameters == 30
    assert stats['m'].macs == 180 and stats['e'].macs == 0


@pytest.mark.parametrize('path', NETS, ids=lambda path: f'{path.parent.name}-{path.stem}')
def test_train_and_deploy_cost_the_same(path):
    net = read_net(path)
    small = path.parent.name.startswith(('sphereface', 'mobilenet', 'm'))
    shape = (1, 3, 112, 96) if small and path.stem.startswith('train') else None
    own = total(measure(net, shape), 'network')
    assert own.parameters > 0 and own.macs > 0
    deploy = path.with_name('deploy.prototxt')
    if deploy.exists():
        assert (own.parameters, own.macs) == _costs(deploy)


def _costs(path):
    own = total(measure(read_net(path)), 'network')
    return own.parameters, own.macs


def test_sphereface_4_has_its_published_size():
    stats = measure(read_net(ROOT / 'prototxt/sphereface-4/train.prototxt'), (1, 3, 112, 96))
    assert total(stats, 'network').parameters == 12_562_496
    assert [s.name for s in stats if s.kind == 'classifier'] == ['fc6']
    assert total(stats, 'classifier').parameters == 10572 * 512


def test_zeros_of_given_weights(tmp_path):
    net = parse_net(SMALL)
    opened = open_with_inputs(net)
    opened.params['d'][0].data[...] = np.arange(36).reshape(4, 1, 3, 3) % 2
    opened.save(str(tmp_path / 'w.caffemodel'))
    stats = by_name(net, None, tmp_path / 'w.caffemodel')
    assert stats['d'].zeros == 0.5 and stats['s'].zeros is None


def test_bad_input_is_named(tmp_path):
    with pytest.raises(SlimError, match='none.caffemodel: cannot be read'):
        measure(parse_net(SMALL), None, tmp_path / 'none.caffemodel')
    open_with_inputs(parse_net(SMALL)).save(str(tmp_path / 'small.caffemodel'))
    with pytest.raises(SlimError, match="small.caffemodel: holds none of the layers of net 'PNet'"):
        measure(read_net(ROOT / 'prototxt/mtcnn/det1.prototxt'), None, tmp_path / 'small.caffemodel')
    with pytest.raises(SlimError, match="net 'small'.*'c'"):
        measure(parse_net(SMALL.replace('name: "c" type: "Convolution"', 'name: "c" type: "Convolutoin"')))


def _command(*args):
    return subprocess.run([sys.executable, ROOT / 'tools/model_stats.py', *args], capture_output=True, text=True)


def test_command_prints_a_table_and_json():
    path = ROOT / 'prototxt/sphereface-4/deploy.prototxt'
    assert '12,562,496' in _command(path).stdout
    found = json.loads(_command(path, '--json').stdout)
    assert found['totals']['network']['parameters'] == 12_562_496
    assert [layer['name'] for layer in found['layers']][:2] == ['data', 'conv1_1']


@pytest.mark.parametrize(
    'args, message',
    [
        (['none.prototxt'], 'none.prototxt: cannot be read'),
        ([ROOT / 'prototxt/sphereface-4/train.prototxt'], '--input'),
        ([ROOT / 'prototxt/sphereface-4/deploy.prototxt', '--weights', 'no.caffemodel'], 'no.caffemodel'),
    ],
)
def test_command_says_what_is_wrong_in_one_line(args, message):
    done = _command(*args)
    assert done.returncode == 1 and message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_shape_that_is_none_is_refused():
    done = _command(ROOT / 'prototxt/sphereface-4/deploy.prototxt', '--input', '1,3,x')
    assert done.returncode == 2
    assert done.stderr.endswith('--input: 1,3,x, expected positive whole numbers with commas, such as 1,3,112,96\n')


@pytest.mark.parametrize('name', ['det1', 'det2', 'det3'])
def test_mtcnn_takes_its_published_weights(name):
    folder = SHARED / 'data/mtcnn'
    if not folder.is_dir():
        pytest.skip('the published MTCNN weights are not here')
    weights = folder / f'{name}.caffemodel'
    folders = (ROOT / 'prototxt/mtcnn', folder)
    ours, theirs = (open_with_inputs(read_net(d / f'{name}.prototxt'), None, weights) for d in folders)
    picture = np.random.default_rng(1).standard_normal(ours.blobs['data'].data.shape)
    outputs = [{k: v.copy() for k, v in net.forward(data=picture).items()} for net in (ours, theirs)]
    assert outputs[0].keys() == outputs[1].keys()
    for key in outputs[0]:
        np.testing.assert_array_equal(outputs[0][key], outputs[1][key])


def test_costs_of_the_forks_layers():
    stats = {layer.name: layer for layer in measure(parse_net(FORKS))}
    assert (stats['d'].weights, stats['d'].macs) == (72, 72 * 48 * 2)
    assert (stats['e'].weights, stats['e'].parameters, stats['e'].macs) == (72, 80, 72 * 12 * 2)
    assert (stats['p'].parameters, stats['p'].statistics) == (16, 16)
    assert (stats['s'].parameters, stats['s'].statistics) == (16, 0)


SSD = """
layer { name: "d" type: "AnnotatedData" top: "data" top: "boxes"
        transform_param { resize_param { height: 8 width: 6 } } data_param { source: "none" } }
layer { name: "l" type: "Convolution" bottom: "data" top: "l" convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "lp" type: "Permute" bottom: "l" top: "lp" permute_param { order: [0, 2, 3, 1] } }
layer { name: "lf" type: "Flatten" bottom: "lp" top: "lf" }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "cp" type: "Permute" bottom: "c" top: "cp" permute_param { order: [0, 2, 3, 1] } }
layer { name: "cf" type: "Flatten" bottom: "cp" top: "cf" }
layer { name: "p" type: "PriorBox" bottom: "c" bottom: "data" top: "p" prior_box_param { min_size: 2 } }
layer { name: "loss" type: "MultiBoxLoss" bottom: "lf" bottom: "cf" bottom: "p" bottom: "boxes" top: "loss"
        multibox_loss_param { num_classes: 3 } }
"""


def test_a_detector_that_is_trained_from_a_database_is_measured_without_it():
    macs = {stats.name: stats.macs for stats in measure(parse_net(SSD))}
    assert (macs['l'], macs['c']) == (8 * 6 * 3 * 4, 8 * 6 * 3 * 3)
