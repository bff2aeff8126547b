"""Convolutions become modules: exact costs, nets that run and train, readers that stay connected, clear refusals."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repository import ROOT
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.net.costs import measure, total
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import find_layer, parse_net, read_net, write_prototxt
from sphereslim.rewrite import shrink
from sphereslim.rewrite.modules import MODULES, module_weights
from sphereslim.rewrite.replace import replaceable, substitute
from sphereslim.rewrite.shallow import drop_layers

PLAIN = """
name: "plain"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 7 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 16 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "prelu1" type: "PReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 24 kernel_size: 3 pad: 1 stride: 2 weight_filler { type: "msra" } } }
layer { name: "prelu2" type: "PReLU" bottom: "conv2" top: "conv2" }
layer { name: "conv3" type: "Convolution" bottom: "conv2" top: "conv3" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 24 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "bn3" type: "BatchNorm" bottom: "conv3" top: "bn3" }
layer { name: "sum" type: "Eltwise" bottom: "conv2" bottom: "bn3" top: "sum" }
layer { name: "conv4" type: "Convolution" bottom: "sum" top: "conv4"
  convolution_param { num_output: 16 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "relu4" type: "ReLU" bottom: "conv4" top: "relu4" }
layer { name: "fc" type: "InnerProduct" bottom: "relu4" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


@pytest.fixture
def plain():
    return parse_net(PLAIN)


@pytest.mark.parametrize('module, weights', [('fire', 180_224), ('dwpw', 133_376), ('flame', 49_728)])
def test_published_weights_of_256_to_512(module, weights):
    assert module_weights(module, 256, 512) == weights


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 64), st.integers(1, 16))
def test_module_weights_by_formula(inputs, eighths):
    out, squeezed, half = 8 * eighths, eighths, 4 * eighths
    assert module_weights('fire', inputs, out) == inputs * squeezed + squeezed * half + 9 * squeezed * half
    assert module_weights('dwpw', inputs, out) == 9 * inputs + inputs * out
    assert module_weights('flame', inputs, out) == inputs * squeezed + 9 * squeezed + 2 * squeezed * half


def test_baseline_has_the_published_operations():
    sums = total(measure(read_net(ROOT / 'prototxt/vgg11bn/deploy.prototxt')))
    assert round(sums.macs / 1e7) * 10 == 2120


def test_modules_in_the_network_files_weigh_what_they_should():
    for name in MODULES:
        stats = measure(read_net(ROOT / f'prototxt/vgg11bn/{name}/deploy.prototxt'))
        module = [s for s in stats if s.type == 'Convolution' and s.name.startswith('conv5_')]
        assert sum(s.weights for s in module) == module_weights(name, 256, 512)


def test_all_means_3x3_ones_that_do_not_read_the_picture(plain):
    assert replaceable(plain) == ['conv2', 'conv3', 'conv4']


@pytest.mark.parametrize('module', MODULES)
def test_shapes_stay_and_every_layer_gets_gradients(plain, module):
    small = substitute(plain, module)
    before, after = open_net(plain), open_net(small, phase=caffe.TRAIN)
    for blob in ('conv2', 'sum', 'relu4', 'fc'):
        assert after.blobs[blob].data.shape == before.blobs[blob].data.shape
    rng = np.random.default_rng(0)
    after.blobs['data'].data[...] = rng.normal(size=(2, 3, 9, 7))
    after.blobs['label'].data[...] = [0, 3]
    after.forward()
    after.backward()
    # a batch norm behind hides a constant, so only the weights of the convolutions have to move
    for layer in small.layer:
        if layer.type == 'Convolution':
            assert np.abs(after.params[layer.name][0].diff).max() > 0, layer.name


@pytest.mark.parametrize('module', MODULES)
@pytest.mark.parametrize('outputs', [2, 5, 7])
def test_odd_and_small_numbers_of_outputs_stay(plain, module, outputs):
    for name in ('conv2', 'conv3', 'conv4'):
        find_layer(plain, name).convolution_param.num_output = outputs
    small = substitute(plain, module)
    opened = open_net(small)
    assert [opened.blobs[blob].data.shape[1] for blob in ('conv2', 'sum', 'relu4')] == [outputs] * 3
    assert all(layer.convolution_param.num_output > 0 for layer in small.layer if layer.type == 'Convolution')


@pytest.mark.parametrize('module', MODULES)
def test_trained_weights_of_other_layers_carry_over(plain, module, tmp_path):
    net = open_net(plain)
    net.save(str(tmp_path / 'plain.caffemodel'))
    small = open_net(substitute(plain, module, ['conv2']))
    small.copy_from(str(tmp_path / 'plain.caffemodel'))
    assert np.array_equal(small.params['conv3'][0].data, net.params['conv3'][0].data)


@pytest.mark.parametrize('module', MODULES)
def test_norm_and_neuron_follow_every_new_convolution(plain, module):
    small = substitute(plain, module)
    norms, neurons = _inputs_of(small, 'BatchNorm'), _inputs_of(small, 'ReLU', 'PReLU')
    for layer in small.layer:
        if layer.type == 'Convolution' and layer.name != 'conv1':
            # what followed the whole module before still follows it
            concat = [other.top[0] for other in small.layer if other.type == 'Concat' and layer.top[0] in other.bottom]
            ends = {layer.top[0], *concat}
            assert ends & norms and ends & neurons, layer.name
            assert not layer.convolution_param.bias_term


def _inputs_of(net, *kinds):
    return {blob for layer in net.layer if layer.type in kinds for blob in layer.bottom}


def test_batch_norm_and_prelu_that_follow_are_used_again(plain):
    small = substitute(plain, 'dwpw', ['conv2', 'conv3'])
    names = [layer.name for layer in small.layer]
    assert 'conv2_pw_bn' in names and 'conv2_pw_relu' not in names and 'prelu2' in names
    assert 'conv3_pw_bn' not in names and 'conv3_pw_relu' in names and 'bn3' in names


def test_learning_rates_of_train_nets_are_kept(plain):
    small = substitute(plain, 'flame', ['conv3'])
    assert find_layer(small, 'conv3_squeeze').param[0].lr_mult == 1
    assert [p.lr_mult for p in find_layer(small, 'conv3_squeeze_bn').param] == [0, 0, 0]


def test_shrink_spares_the_last_two_and_what_sums_tie_to_them(plain):
    widths = {
        layer.name: layer.convolution_param.num_output for layer in shrink(plain).layer if layer.type == 'Convolution'
    }
    assert widths == {'conv1': 8, 'conv2': 24, 'conv3': 24, 'conv4': 16}
    open_net(shrink(plain))


def test_shrink_takes_depthwise_convolutions_along(plain):
    small = shrink(substitute(plain, 'dwpw', ['conv2']), keep_last=1)
    assert find_layer(small, 'conv2_dw').convolution_param.group == 8
    open_net(small)


@pytest.mark.parametrize('part', ['deploy', 'train'])
def test_shrink_takes_depthwise_convolutions_behind_sums_along(part, tmp_path):
    small = shrink(read_net(ROOT / f'prototxt/mobilenet-10/{part}.prototxt'), 0.25, keep_last=0)
    convolutions = {layer.name: layer.convolution_param for layer in small.layer if layer.type == 'Convolution'}
    widths = {(param.num_output, param.group) for name, param in convolutions.items() if name.startswith('conv3_')}
    assert widths == {(64, 1), (64, 64)}
    for layer in small.layer:
        if layer.type == 'ImageData':
            with_pictures(layer, tmp_path)
    write_prototxt(tmp_path / 'small.prototxt', small)
    net = caffe.Net(str(tmp_path / 'small.prototxt'), caffe.TRAIN if part == 'train' else caffe.TEST)
    assert net.params['conv3_4_dw'][0].data.shape == (64, 1, 3, 3)


def with_pictures(layer, folder):
    """Let an ImageData layer read one black picture."""
    cv2.imwrite(str(folder / 'face.png'), np.zeros((112, 96, 3), np.uint8))
    (folder / 'list.txt').write_text('face.png 0\n')
    layer.image_data_param.source, layer.image_data_param.root_folder = str(folder / 'list.txt'), f'{folder}/'


def test_shrink_spares_what_sums_tie_to_the_last_and_their_depthwise_convolutions():
    small = shrink(read_net(ROOT / 'prototxt/mobilenet-10/deploy.prototxt'))
    depthwise = ('conv2_3_dw', 'conv3_4_dw', 'conv3_5_dw')
    assert [find_layer(small, name).convolution_param.group for name in depthwise] == [64, 256, 128]
    open_net(small)


def test_shrink_halves_every_part_of_a_concat_that_a_sum_ties(plain):
    small = shrink(substitute(plain, 'fire', ['conv3']), keep_last=1)
    parts = [find_layer(small, f'conv3_{part}').convolution_param.num_output for part in ('expand1', 'expand3')]
    assert parts == [6, 6] and find_layer(small, 'conv2').convolution_param.num_output == 12
    open_net(small)


def test_shallow_reconnects(plain):
    small = drop_layers(plain, ['conv3'])
    assert 'bn3' not in [layer.name for layer in small.layer]
    assert list(find_layer(small, 'sum').bottom) == ['conv2', 'conv2']
    open_net(small)


def test_shallow_drops_followers_in_place_and_renames_the_rest():
    net = drop_layers(read_net(ROOT / 'prototxt/vgg11bn/deploy.prototxt'), ['conv3', 'conv5', 'conv7'])
    assert len([layer for layer in net.layer if layer.type == 'BatchNorm']) == 5
    assert list(find_layer(net, 'conv6').bottom) == ['pool3']


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda net: substitute(net, 'fire', ['conv9']), "no layer 'conv9', expected one of: data"),
        (lambda net: substitute(net, 'fire', ['fc']), r"layer 'fc' \(InnerProduct.*expected a Convolution"),
        (lambda net: substitute(net, 'ice'), 'module ice: expected one of fire, dwpw, flame'),
        (lambda net: drop_layers(net, ['conv2']), "layer 'conv2' .*stride 2.* expected a Convolution of stride 1"),
        (lambda net: shrink(net, 0), 'share 0: expected above 0'),
    ],
)
def test_refusals(plain, change, message):
    with pytest.raises(SlimError, match=message):
        change(plain)


def test_kernel_that_fire_cannot_follow(plain):
    find_layer(plain, 'conv4').convolution_param.pad[0] = 0
    with pytest.raises(SlimError, match="layer 'conv4': kernel 3 with pad 0, fire expects kernel 3 with pad 1"):
        substitute(plain, 'fire', ['conv4'])
    assert find_layer(substitute(plain, 'dwpw', ['conv4']), 'conv4_dw').convolution_param.group == 24


@pytest.mark.parametrize('module', ['fire', 'flame'])
def test_a_convolution_of_one_output_has_nothing_for_two_branches(plain, module):
    find_layer(plain, 'conv4').convolution_param.num_output = 1
    assert 'conv4' in [layer.name for layer in substitute(plain, module).layer]
    with pytest.raises(SlimError, match=f"layer 'conv4': makes 1 channel, {module} expects at least 2"):
        substitute(plain, module, ['conv4'])
    open_net(substitute(plain, 'dwpw', ['conv4']))


@pytest.mark.parametrize('module', MODULES)
def test_a_convolution_whose_parameters_have_names_is_left_as_it_is(plain, module):
    conv = find_layer(plain, 'conv3')
    conv.param[0].name = 'w'
    assert find_layer(substitute(plain, module), 'conv3') == conv
    with pytest.raises(SlimError, match="layer 'conv3': its parameter 'w' may be shared by name, expected"):
        substitute(plain, module, ['conv3'])


def test_command_rewrites_train_and_deploy_alike(tmp_path):
    files = [ROOT / f'prototxt/mobilenet-4/{part}.prototxt' for part in ('train', 'deploy')]
    command = [sys.executable, ROOT / 'python/substitute.py', *files, '--shrink', '--out', tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    train, deploy = (read_net(tmp_path / file.name) for file in files)
    convolutions = [
        [(layer.name, layer.convolution_param.num_output) for layer in net.layer if layer.type == 'Convolution']
        for net in (train, deploy)
    ]
    assert convolutions[0] == convolutions[1]
    done = subprocess.run([*command[:-1], files[0].parent], capture_output=True, text=True)
    assert done.returncode == 1 and 'is an input' in done.stderr and done.stderr.count('\n') == 1
