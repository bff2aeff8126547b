"""Second-order rounding: against rounding to the nearest level, by hand, and over a whole net."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from sphereslim.commands.program import find_command
from sphereslim.data.feed import feed_for
from sphereslim.data.pictures import list_images
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.pruning.measures import OutputShift
from sphereslim.pruning.model import Model, open_model
from sphereslim.pruning.reconstruct import Fit
from sphereslim.quantization import dequantize, quantize_net, read_quantized
from sphereslim.quantization.by_pictures import RoundedAlone, round_by_pictures
from sphereslim.quantization.second_order import SecondOrder

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 10 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "PReLU" bottom: "conv1" top: "conv1" }
layer { name: "depthwise" type: "Convolution" bottom: "conv1" top: "depthwise"
  convolution_param { num_output: 8 group: 8 kernel_size: 3 stride: 2 bias_term: false
                      weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "depthwise" top: "norm" }
layer { name: "conv2" type: "Convolution" bottom: "norm" top: "conv2"
  convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "norm" bottom: "conv2" top: "sum" }
layer { name: "fc" type: "InnerProduct" bottom: "sum" top: "fc"
  inner_product_param { num_output: 16 weight_filler { type: "xavier" } } }
"""


def error_of(weights, levels, scale, products):
    difference = weights - levels * scale
    return np.trace(difference.T @ products @ difference)


def test_rounding_one_weight_moves_what_the_other_ones_become():
    # both inputs are always equal, so that only the sum of the weights counts: 0.6 + 0.6 is 1 + 0, not 1 + 1
    weights, products = np.array([[0.6], [0.6], [3.0]]), np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]])
    found = SecondOrder(products, has_added=False).round(weights, 3)
    assert 0.8 < found.scale < 1.1 and sorted(found.levels[:2].ravel()) == [0, 1]


def test_the_outputs_move_less_than_by_rounding_to_the_nearest_level():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 24)) + 0.1 * rng.normal(size=(400, 24))
    weights, products = rng.normal(size=(24, 10)), x.T @ x
    found = SecondOrder(products, has_added=False).round(weights, 4)
    nearest = np.clip(np.round(weights / found.scale), -7, 7)
    assert np.abs(found.levels).max() <= 7 and np.array_equal(found.levels, np.round(found.levels))
    assert error_of(weights, found.levels, found.scale, products) < 0.3 * error_of(
        weights, nearest, found.scale, products
    )


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    x, weights = rng.normal(size=(200, 9)) @ rng.normal(size=(9, 9)), rng.normal(size=(9, 5))
    whole = SecondOrder(x.T @ x, has_added=True).round(weights, 4)
    monkeypatch.setattr('sphereslim.quantization.second_order.BLOCK', 3)
    parts = SecondOrder(x.T @ x, has_added=True).round(weights, 4)
    assert np.array_equal(parts.levels, whole.levels) and np.allclose(parts.added, whole.added)


def test_what_is_added_makes_up_for_a_shift_of_the_mean():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.random((300, 8)) + 1, np.ones((300, 1))], axis=1)
    weights = rng.normal(size=(9, 4))
    found = SecondOrder(x.T @ x, has_added=True).round(weights, 3)
    shift = (x @ (found.matrix() - weights)).mean(axis=0)
    plain = x[:, :8] @ (found.levels * found.scale - weights[:8])
    assert np.abs(shift).max() < 0.1 * np.abs(plain.mean(axis=0)).max()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('net.prototxt').write_text(NET)
    caffe.set_random_seed(1)
    net = caffe.Net('net.prototxt', caffe.TEST)
    mean, variance, count = net.params['norm']
    mean.data[...], variance.data[...], count.data[...] = 0.1, 1.5, 1
    net.save('net.caffemodel')
    Path('faces').mkdir()
    pixels = np.random.default_rng(0)
    for i in range(40):
        small = pixels.integers(0, 256, (4, 3, 3)).astype(np.uint8)
        cv2.imwrite(f'faces/{i:02d}.png', cv2.resize(small, (10, 12)))
    return tmp_path


def test_a_whole_net_comes_nearer_to_the_original_on_other_pictures(folder):
    model, paths = open_model('net.prototxt', 'net.caffemodel'), list_images('faces')
    feed, test = (feed_for(model.net, part) for part in (paths[:30], paths[30:]))
    plain, rounded = (quantize_net(model.weights, 4, vectors='half', scheme='linear-filter') for _ in range(2))
    round_by_pictures(rounded, model, feed, Fit(40))
    shift = OutputShift(model, test)
    before, after = (shift(Model(model.net, dequantize(net), model.groups)) for net in (plain, rounded))
    assert after < 0.6 * before
    assert all(not layer.blobs[0].half for layer in rounded.layers if layer.type == 'BatchNorm')
    bias = next(layer for layer in rounded.layers if layer.name == 'conv1').blobs[1]
    assert bias.half and np.array_equal(bias.floats, bias.floats.astype(np.float16))


def test_a_layer_alone_costs_less_too_and_the_net_stays(folder):
    model = open_model('net.prototxt', 'net.caffemodel')
    feed = feed_for(model.net, list_images('faces'))
    alone = RoundedAlone(model, feed, None, Fit(40))
    weights = type(model.weights)(layer=[layer for layer in model.weights.layer if layer.name == 'conv2'])
    shift = OutputShift(model, feed)

    def cost(quantized):
        net = type(model.weights)()
        net.CopyFrom(model.weights)
        place = next(i for i, layer in enumerate(net.layer) if layer.name == 'conv2')
        net.layer[place].CopyFrom(dequantize(quantized).layer[0])
        return shift(Model(model.net, net, model.groups))

    assert cost(alone(weights, {'conv2': 3})) < 0.9 * cost(quantize_net(weights, {'conv2': 3}, 'linear-filter'))


def run(*words):
    find_command('quantize').run(list(map(str, words)))


def test_the_commands_round_in_view_of_pictures(folder, capsys):
    how = ('--deploy', 'net.prototxt', '--images', 'faces', '--rounding', 'second-order', '--vectors', 'half')
    run('quantize', 'net.caffemodel', '--bits', 5, '--out', 'q', *how, '--count', 20)
    assert read_quantized('q').layers[0].blobs[0].half
    allocate = (
        'allocate',
        'net.caffemodel',
        '--bits',
        '3-6',
        '--coding',
        'lzma',
        *how,
        '--count',
        20,
        '--test-count',
        10,
    )
    run(*allocate, '--budget', 2600, '--out', 'a')
    first = Path('a').read_bytes()
    assert len(first) <= 2600 and 'output distance' in capsys.readouterr().out
    run(*allocate, '--budget', 2600, '--out', 'a')
    assert Path('a').read_bytes() == first
    with pytest.raises(SlimError, match='a.costs.json: holds results of another subject'):
        run(*[word for word in allocate if word not in ('--rounding', 'second-order')], '--budget', 2600, '--out', 'a')


@pytest.mark.parametrize(
    'words, told',
    [
        (
            ('--scheme', 'log', '--deploy', 'net.prototxt', '--images', 'faces'),
            'is of the scheme linear-filter, not of log',
        ),
        (('--deploy', 'net.prototxt'), 'expected --deploy, and --images'),
    ],
)
def test_what_second_order_rounding_lacks_is_told(folder, words, told):
    with pytest.raises(SlimError, match=told):
        run('quantize', 'net.caffemodel', '--out', 'q', '--rounding', 'second-order', *words)
