"""Vitis AI's layers in few bits, against a statement of our own in NumPy, number by number."""

import math
from itertools import pairwise

import numpy as np
import pytest

import caffe
from caffe.export.bvlc.conversion import to_bvlc
from caffe.export.onnx_file import export_onnx
from layer_case import by_name, layer, make_net, run

SHAPES = {'x': (2, 3, 6, 5)}
CONV = 'convolution_param { num_output: 4 kernel_size: 3 pad: 1 bias_filler { type: "uniform" min: -2 max: 3 } %s }'
CONV += ' fixed_param { bit_width: %d fixed_method: %s }'


def grid(bits, position):
    """All values of that many bits."""
    return np.arange(-(2 ** (bits - 1)), 2 ** (bits - 1)) * 2.0**-position


def nearest(values, bits, position, up):
    """Each value's nearest of the grid; of two at the same distance the upper, or the one farther from zero."""
    made = []
    for value in np.asarray(values, np.float64).ravel():
        distance = np.abs(grid(bits, position) - value)
        close = grid(bits, position)[distance == distance.min()]
        made.append(close.max() if up else close[np.abs(close).argmax()])
    return np.reshape(made, np.shape(values))


def fits(values, bits, position):
    """Whether no value is more than half a step outside of the grid."""
    low, high, half = grid(bits, position)[0], grid(bits, position)[-1], 2.0 ** (-position - 1)
    return values.min() >= low - half and values.max() <= high + half


def largest(values, bits):
    return max(position for position in range(-20, 30) if fits(values, bits, position))


def best(values, bits, count=5, of=lambda x: x):
    first = largest(values, bits)
    tried = range(first, first + count)
    errors = [np.square(of(values) - of(nearest(values, bits, position, False))).sum() for position in tried]
    return tried[int(np.argmin(errors))]


FIND = {'OVER_FLOW': largest, 'DIFF_S': best}


@pytest.mark.parametrize('method', FIND)
@pytest.mark.parametrize('bits', [3, 8])
@pytest.mark.parametrize('kind', ['Convolution', 'Deconvolution', 'InnerProduct'])
def test_products_take_rounded_weights_and_go_back_with_the_weights_themselves(kind, bits, method):
    if kind == 'InnerProduct':
        param = (
            'inner_product_param { num_output: 4 weight_filler { type: "gaussian" } bias_filler { type: "uniform" } }'
        )
        param += f' fixed_param {{ bit_width: {bits} fixed_method: {method} }}'
    else:
        param = CONV % ('weight_filler { type: "gaussian" }', bits, method)
    net = make_net(layer(f'{kind}Fixed', extra=param), SHAPES)
    plain = make_net(layer(kind, extra=param.split('fixed_param')[0]), SHAPES)
    plain.blobs['x'].data[...] = net.blobs['x'].data
    for own, other in zip(net.params['layer'], plain.params['layer']):
        position = FIND[method](own.data.astype(np.float64), bits)
        other.data[...] = nearest(own.data, bits, position, up=False)
        assert len(np.unique(other.data)) > 1 and not np.array_equal(other.data, own.data)
    plain.forward()
    diffs = run(net)
    np.testing.assert_allclose(net.blobs['y'].data, plain.blobs['y'].data, rtol=1e-5, atol=1e-5)
    for own, other in zip(net.params['layer'], plain.params['layer']):
        other.data[...] = own.data
    plain.forward()
    plain.blobs['y'].diff[...] = diffs['y']
    plain.backward()
    np.testing.assert_allclose(net.blobs['x'].diff, plain.blobs['x'].diff, rtol=1e-5, atol=1e-5)
    for own, other in zip(net.params['layer'], plain.params['layer']):
        np.testing.assert_allclose(own.diff, other.diff, rtol=1e-4, atol=1e-4)


def test_without_enable_nothing_is_rounded():
    text = layer(
        'ConvolutionFixed', extra=(CONV % ('', 2, 'OVER_FLOW')).replace('bit_width', 'enable: false bit_width')
    )
    net = make_net(
        text + by_name(layer('FixedNeuron', 'y', 'z', 'fixed_param { enable: false bit_width: 2 }'), 'n'), SHAPES
    )
    for blob in net.params['layer']:
        blob.data[...] = np.random.default_rng(1).normal(size=blob.shape)
    net.forward()
    assert len(np.unique(net.blobs['y'].data)) > 100
    np.testing.assert_array_equal(net.blobs['y'].data, net.blobs['z'].data)


@pytest.mark.parametrize('top', ['y', 'x'])
@pytest.mark.parametrize('follows', [False, True])
def test_what_a_layer_gives_is_rounded_at_the_position_of_its_batch_in_train(follows, top):
    text = layer('FixedNeuron', 'x', top, f'fixed_param {{ bit_width: 5 follow_data_layer: {str(follows).lower()} }}')
    net = make_net(text, SHAPES, caffe.TRAIN)
    found = []
    for scale in (1, 4, 0.25, 4):
        x = np.random.default_rng(1).normal(size=SHAPES['x']).astype('f4') * scale
        x.flat[:6] = np.array([0.25, -0.25, 0.75, -0.75, 0.125, -0.125]) * scale  # halves of steps
        net.blobs['x'].data[...] = x
        net.forward()
        found.append(largest(x, 5))
        np.testing.assert_array_equal(net.blobs[top].data, nearest(x, 5, found[-1], up=not follows).astype('f4'))
        assert net.params['layer'][0].data[0] == min(found, key=lambda p: (-found.count(p), p))
    assert len(set(found)) == 3 and net.params['layer'][0].data[0] == found[1]
    net.blobs[top].diff[...] = dy = np.random.default_rng(2).normal(size=SHAPES['x']).astype('f4')
    net.backward()
    np.testing.assert_array_equal(net.blobs['x'].diff, dy)


@pytest.mark.parametrize(
    'method, find',
    [
        ('DIFF_S', best),
        ('DIFF_A', best),
        ('DIFF_S_SIGMOID', lambda x, bits: best(x, bits, 10, lambda v: 1 / (1 + np.exp(-v)))),
    ],
)
def test_other_methods_round_at_the_position_found_most_often(method, find):
    net = make_net(
        layer('FixedNeuron', extra=f'fixed_param {{ bit_width: 4 fixed_method: {method} }}'), SHAPES, caffe.TRAIN
    )
    found = []
    for seed in range(5):
        x = (np.random.default_rng(seed).standard_t(3, size=SHAPES['x']) * 2).astype('f4')
        net.blobs['x'].data[...] = x
        net.forward()
        found.append(find(x.astype(np.float64), 4))
        usual = min(found, key=lambda p: (-found.count(p), p))
        np.testing.assert_array_equal(net.blobs['y'].data, nearest(x, 4, usual, up=True).astype('f4'))


@pytest.mark.parametrize('follows', [False, True])
def test_test_rounds_at_the_stored_position(follows):
    net = make_net(
        layer('FixedNeuron', extra=f'fixed_param {{ bit_width: 4 follow_data_layer: {str(follows).lower()} }}'), SHAPES
    )
    net.params['layer'][0].data[...] = 2
    net.blobs['x'].data.flat[:4] = [0.125, -0.125, 9, -9]
    x = net.blobs['x'].data.copy()
    net.forward()
    expected = np.trunc(x * 4) / 4 if follows else nearest(x, 4, 2, up=True)
    np.testing.assert_array_equal(net.blobs['y'].data, expected.astype('f4'))


def test_zeros_stay_zeros_and_what_is_no_number_stays_none():
    net = make_net(layer('FixedNeuron'), SHAPES, caffe.TRAIN)
    net.blobs['x'].data[...] = 0
    net.forward()
    assert not net.blobs['y'].data.any() and net.params['layer'][0].data[0] == 32767
    net.blobs['x'].data.flat[3] = math.nan
    net.forward()
    assert np.isnan(net.blobs['y'].data).all()


def test_what_cannot_be_is_said():
    for text, expected in (
        (layer('FixedNeuron', extra='fixed_param { bit_width: 0 }'), 'bit_width is 0, expected at least 1'),
        (layer('FixedNeuron', extra='param { lr_mult: 1 }'), 'lr_mult 1.0, expected 0 for a position'),
        (layer('ConvolutionFixed', extra=CONV % ('', 8, 'DIFF_A')), 'is DIFF_A, expected OVER_FLOW or DIFF_S'),
    ):
        with pytest.raises(caffe.CaffeError, match=expected):
            make_net(text, SHAPES)


def test_a_small_net_learns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fixed = 'fixed_param { bit_width: 8 }'
    with open('net.prototxt', 'w') as file:
        file.write(
            'layer { name: "d" type: "MemoryData" top: "x" top: "label" memory_data_param { batch_size: 32 channels: 1 '
            'height: 6 width: 6 } }\n'
            + by_name(layer('FixedNeuron', 'x', 'x', fixed), 'n0')
            + by_name(
                layer('ConvolutionFixed', 'x', 'c', CONV % ('weight_filler { type: "msra" }', 8, 'OVER_FLOW')), 'c'
            )
            + by_name(layer('FixedNeuron', 'c', 'c', f'param {{ lr_mult: 0 decay_mult: 0 }} {fixed}'), 'n1')
            + by_name(layer('ReLU', 'c', 'c'), 'r')
            + by_name(
                layer(
                    'InnerProductFixed',
                    'c',
                    'f',
                    'inner_product_param { num_output: 2 weight_filler { type: "xavier" } } ' + fixed,
                ),
                'f',
            )
            + by_name(layer('SoftmaxWithLoss', 'f label', 'loss'), 'loss')
        )
    with open('solver.prototxt', 'w') as file:
        file.write(
            'net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 random_seed: 3 weight_decay: 0.001'
        )
    solver = caffe.get_solver('solver.prototxt')
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 32)
    pictures = random.normal(0, 0.3, (32, 1, 6, 6)) + np.where(labels, 1, -1)[:, None, None, None] * np.eye(6)
    solver.net.set_input_arrays(pictures.astype('f4'), labels.astype('f4'))
    losses = []
    for _ in range(40):
        solver.step(1)
        losses.append(float(solver.net.blobs['loss'].data))
    assert losses[0] > 0.3 and np.mean(losses[-5:]) < 0.1
    assert solver.net.params['n1'][0].data[0] == round(solver.net.params['n1'][0].data[0])
    assert any(a != b for a, b in pairwise(losses))


def test_files_for_others_have_rounded_weights(tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    weights = 'weight_filler { type: "gaussian" }'
    net = make_net(layer('ConvolutionFixed', extra=CONV % (weights, 4, 'OVER_FLOW')), SHAPES, force_backward=False)
    net.forward()
    converted = to_bvlc(net)
    (conv,) = [one for one in converted.param.layer if one.name == 'layer']
    assert conv.type == 'Convolution' and not conv.HasField('fixed_param')
    text = by_name(layer('FixedNeuron', 'y', 'z', 'fixed_param { bit_width: 4 }'), 'n')
    both = make_net(
        layer('ConvolutionFixed', extra=CONV % (weights, 4, 'OVER_FLOW')) + text, SHAPES, force_backward=False
    )
    both.params['n'][0].data[...] = 1
    both.forward()
    export_onnx(both, str(tmp_path / 'n.onnx'))
    session = onnxruntime.InferenceSession(str(tmp_path / 'n.onnx'), providers=['CPUExecutionProvider'])
    (found,) = session.run(['z'], {'x': both.blobs['x'].data})
    np.testing.assert_array_equal(found, both.blobs['z'].data)
    with pytest.raises(caffe.CaffeError, match="'n' .FixedNeuron.: has no exact form"):
        to_bvlc(both)
