"""Layers in plainer forms: the same outputs where that is exact, and slopes that follow from the weights where not."""

import cv2
import numpy as np
import pytest
from masking import outputs, randomize
from sphereslim.errors import SlimError
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import parse_net, read_net, write_prototxt
from sphereslim.net.weights import read_weights, write_weights
from sphereslim.rewrite.plain import plain, plain_weights

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [2, 3, 12, 14] } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 pad: 2 dilation: 2 } }
layer { name: "act" type: "PReLU" bottom: "conv" top: "conv" param { lr_mult: 2 } }
layer { name: "dw" type: "Convolution" bottom: "conv" top: "dw"
  convolution_param { num_output: 8 kernel_h: 3 kernel_w: 1 group: 8 bias_term: false } }
layer { name: "own" type: "ConvolutionDepthwise" bottom: "dw" top: "own"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 stride: 1 } }
layer { name: "groups" type: "DepthwiseConvolution" bottom: "own" top: "groups"
  convolution_param { num_output: 16 kernel_size: 3 group: 8 dilation: 1 dilation: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "groups" top: "fc" inner_product_param { num_output: 5 } }
"""


@pytest.fixture
def model():
    net = parse_net(NET)
    opened = open_net(net)
    randomize(opened, np.random.default_rng(0))
    return net, weights_of(opened)


def computed(net, weights):
    opened = open_net(net, weights)
    picture = np.random.default_rng(1).normal(0, 1, opened.blobs['data'].data.shape).astype('f')
    return outputs(opened, {'data': picture})['fc']


@pytest.mark.parametrize('module, changed', [('dense', ['dw', 'own', 'groups']), ('undilated', ['conv', 'groups'])])
def test_dense_and_undilated_layers_give_the_same_outputs(model, module, changed):
    net, weights = model
    after, wide = plain(net, module, weights=weights), plain_weights(net, weights, module)
    assert [a.name for a, b in zip(after.layer, net.layer) if a != b] == changed
    np.testing.assert_allclose(computed(after, wide), computed(net, weights), atol=1e-5)


def test_no_layer_is_grouped_or_dilated_afterwards(model):
    net, weights = model
    once, wide = plain(net, 'dense', weights=weights), plain_weights(net, weights, 'dense')
    twice = plain(once, 'undilated')
    assert {layer.type for layer in twice.layer} == {'Input', 'Convolution', 'PReLU', 'InnerProduct'}
    params = [layer.convolution_param for layer in twice.layer if layer.type == 'Convolution']
    assert all(param.group == 1 and not param.dilation for param in params)
    assert [list(params[0].kernel_size), list(params[3].kernel_size)] == [[5], [3, 5]]
    np.testing.assert_allclose(
        computed(twice, plain_weights(once, wide, 'undilated')), computed(net, weights), atol=1e-5
    )


@pytest.mark.parametrize('module', ['relu', 'leaky'])
def test_rectifiers_lose_their_slopes_or_share_the_mean_one(model, module):
    net, weights = model
    after, without = plain(net, module, weights=weights), plain_weights(net, weights, module)
    (slopes,) = (np.array(layer.blobs[0].data) for layer in weights.layer if layer.name == 'act')
    (layer,) = (layer for layer in after.layer if layer.name == 'act')
    assert (layer.type, len(layer.param)) == ('ReLU', 0)
    assert layer.relu_param.negative_slope == pytest.approx(slopes.mean() if module == 'leaky' else 0)
    assert np.isfinite(computed(after, without)).all()


def test_named_layers_alone_change(model):
    net, weights = model
    after = plain(net, 'dense', ['dw'], weights)
    assert [layer.convolution_param.group for layer in after.layer if layer.name in ('dw', 'groups')] == [1, 8]
    np.testing.assert_allclose(
        computed(after, plain_weights(net, weights, 'dense', ['dw'])), computed(net, weights), atol=1e-5
    )


@pytest.mark.parametrize(
    'module, layers, message',
    [
        ('dense', ['conv'], "layer 'conv': there is nothing in it for module dense"),
        ('leaky', None, "layer 'act': its slopes are in the weights, expected --weights"),
    ],
)
def test_what_cannot_be_made_plain_is_told(model, module, layers, message):
    with pytest.raises(SlimError, match=message):
        plain(model[0], module, layers)


def test_a_net_without_such_layers_is_told():
    net = parse_net(NET.replace('PReLU', 'ReLU'))
    with pytest.raises(SlimError, match='has no layer for module relu'):
        plain(net, 'relu')


@pytest.fixture
def work(tmp_path, model):
    write_prototxt(tmp_path / 'net.prototxt', model[0])
    write_weights(tmp_path / 'net.caffemodel', model[1])
    return tmp_path


def test_the_command_writes_net_and_weights(work, run, model):
    run('substitute', 'net.prototxt --module dense --weights net.caffemodel --out dense')
    net, weights = read_net(work / 'dense/net.prototxt'), read_weights(work / 'dense/net.caffemodel')
    np.testing.assert_allclose(computed(net, weights), computed(*model), atol=1e-5)


def test_weights_go_with_forms_that_keep_them(work, run):
    with pytest.raises(SystemExit, match='--weights goes with --module relu, leaky, dense, undilated alone'):
        run('substitute', 'net.prototxt --module fire --weights net.caffemodel --out fire')


def test_a_net_with_plain_rectifiers_is_refitted_without_a_selection(work, run, model):
    pictures = work / 'pictures'
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        cv2.imwrite(str(pictures / f'{number}.png'), rng.integers(0, 256, (12, 14, 3), np.uint8))
    run('substitute', 'net.prototxt --module relu --weights net.caffemodel --out relu')
    told = run(
        'reconstruct',
        'net.prototxt net.caffemodel relu/net.prototxt relu/net.caffemodel '
        '--images pictures --count 12 --out r.caffemodel',
    )
    assert 'layers refitted on 12 pictures' in told
    relu = read_net(work / 'relu/net.prototxt')
    whole = computed(*model)
    before, after = (
        np.square(computed(relu, read_weights(work / path)) - whole).mean()
        for path in ('relu/net.caffemodel', 'r.caffemodel')
    )
    assert after < 0.8 * before
