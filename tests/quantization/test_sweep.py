"""Sweeps, and bits per layer under a budget."""

import itertools
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sphereslim.commands.program import find_command
from sphereslim.data.feed import feed_for
from sphereslim.data.pictures import list_images
from sphereslim.data.preparation import InputForm
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.evaluation.measures import OutputMeasure, accuracy_of_test_phase, named_measure
from sphereslim.net.prototxt import read_net
from sphereslim.net.weights_check import check_fits
from sphereslim.quantization import quantize_net, read_caffemodel, read_quantized
from sphereslim.quantization.bit_allocation import Cost, allocate, layer_cost
from sphereslim.quantization.bits import parse_range
from sphereslim.quantization.quantized_net import load_weights
from sphereslim.quantization.sweep import Rows, combinations, run_point

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 6 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 16 weight_filler { type: "gaussian" std: 0.1 } } }
"""

# Bytes grow with bits; distances are anything.
cost_tables = st.lists(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 20)), min_size=1, max_size=4), min_size=1, max_size=4
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A net, its weights, and six pictures, in the current directory."""
    monkeypatch.chdir(tmp_path)
    Path('net.prototxt').write_text(NET)
    caffe.set_random_seed(1)
    caffe.Net('net.prototxt', caffe.TEST).save('net.caffemodel')
    Path('faces').mkdir()
    pixels = np.random.default_rng(0)
    for i in range(6):
        cv2.imwrite(f'faces/{i}.png', pixels.integers(0, 256, (6, 5, 3)).astype(np.uint8))
    return tmp_path


def distance_of(folder):
    return measure_of(folder).distance


def measure_of(folder):
    feed = feed_for(read_net('net.prototxt'), list_images('faces', 6), InputForm(crop='area'), batch=4)
    return OutputMeasure('net.prototxt', 'net.caffemodel', feed)


def as_costs(tables):
    """{layer: [Cost]} with bytes summed up from the increments, so that more bits take more bytes."""
    return {
        f'layer{i}': [
            Cost(bits + 1, int(size), harm)
            for bits, (size, harm) in enumerate(zip(np.cumsum([p[0] for p in table]), [p[1] for p in table]))
        ]
        for i, table in enumerate(tables)
    }


def test_images_as_the_net_wants_them(folder):
    pixels = cv2.imread('faces/2.png')
    form = InputForm(rgb=True, crop='area')
    loaded = next(feed_for(read_net('net.prototxt'), list_images('faces', 6), form)())['data']
    np.testing.assert_allclose(loaded[2, 0], (pixels[:, :, 2] - 127.5) / 128, rtol=1e-6)
    assert loaded.shape == (6, 3, 6, 5)


def test_distance_of_the_same_weights_is_zero_and_grows_as_bits_shrink(folder):
    distance = distance_of(folder)
    assert distance() == pytest.approx(0, abs=1e-12)
    found = []
    for bits in (10, 7, 4):
        load_weights(distance.net, quantize_net(read_caffemodel('net.caffemodel'), bits, 'linear'))
        found.append(distance())
    assert 0 < found[0] < found[1] < found[2]


def test_distance_by_hand(folder):
    distance = distance_of(folder)
    weights = distance.net.params['fc'][0].data
    weights[...] *= 1.5
    assert distance() == pytest.approx(0, abs=1e-6)
    weights[...] *= -1
    assert distance() == pytest.approx(2, abs=1e-6)
    weights[...] = np.nan
    assert distance() == 1


def test_layer_cost_leaves_the_net_as_it_was(folder):
    distance = distance_of(folder)
    cost = layer_cost(
        read_caffemodel('net.caffemodel'), distance, 'fc', 4, 'none', partial(quantize_net, scheme='linear')
    )
    quantized = quantize_net(read_caffemodel('net.caffemodel'), {'fc': 4}, 'linear')
    assert cost.distance > 1e-6 and distance() == pytest.approx(0, abs=1e-12)
    weights, entries = 16 * 8 * 4 * 3, len(quantized.dictionaries[0].values)
    assert cost.bytes == weights // 2 + 4 * entries + 4 * 16


@settings(max_examples=200)
@given(cost_tables, st.floats(0, 1))
def test_no_other_choice_within_the_budget_is_better(tables, share):
    costs = as_costs(tables)
    least, most = (sum(pick(c.bytes for c in points) for points in costs.values()) for pick in (min, max))
    budget = int(least + share * (most - least))
    bits = allocate(costs, budget, 0)
    chosen = {name: next(c for c in costs[name] if c.bits == bits[name]) for name in costs}
    assert sum(c.bytes for c in chosen.values()) <= budget
    best = min(
        sum(c.distance for c in choice)
        for choice in itertools.product(*costs.values())
        if sum(c.bytes for c in choice) <= budget
    )
    assert sum(c.distance for c in chosen.values()) == best


def test_a_budget_too_small_names_the_smallest():
    with pytest.raises(SlimError, match='budget 3 bytes: the smallest widths take 5 bytes'):
        allocate({'a': [Cost(2, 4, 1.0), Cost(3, 6, 0.5)]}, 3, 1)


def test_allocate_command_meets_its_budget(folder, capsys):
    main = find_command('quantize').run
    arguments = [
        'allocate',
        'net.caffemodel',
        '--out',
        'out.qcaffemodel',
        '--deploy',
        'net.prototxt',
        '--images',
        'faces',
        '--scheme',
        'linear',
        '--bits',
        '2-8',
        '--budget',
        '1600',
    ]
    main(arguments)
    first = Path('out.qcaffemodel').read_bytes()
    assert len(first) <= 1600
    assert all(2 <= dictionary.bits <= 8 for dictionary in read_quantized('out.qcaffemodel').dictionaries)
    main(arguments)
    assert Path('out.qcaffemodel').read_bytes() == first
    with pytest.raises(SlimError, match='out.qcaffemodel.costs.json'):
        main([*arguments, '--rgb'])


def test_sweep_goes_on_where_it_was(folder):
    calls = []

    def measure(prototxt, weights):
        calls.append(weights)
        return len(calls)

    net = read_caffemodel('net.caffemodel')
    points = combinations(['log', 'linear'], ['all'], ['layer', 'network'], [4, 6])
    rows = Rows('.', {'net': 'a'})
    for point in points[:3]:
        rows.add(run_point(net, point, '.', 'net.prototxt', measure))
    again = Rows('.', {'net': 'a'})
    assert [again.find(point) is not None for point in points] == [True] * 3 + [False] * 5
    assert again.find(points[1])['bytes'] == Path('log-all-layer-06.qcaffemodel').stat().st_size
    with pytest.raises(SlimError, match='sweep.json: holds results of another subject .net a, asked for b'):
        Rows('.', {'net': 'b'})


def test_sweep_command_writes_table_and_plot(folder):
    main = find_command('quantize').run
    main(
        [
            'sweep',
            'net.caffemodel',
            '--out',
            'out',
            '--deploy',
            'net.prototxt',
            '--images',
            'faces',
            '--bits',
            '4,6',
            '--schemes',
            'log',
            'linear',
            '--scopes',
            'layer',
            'network',
        ]
    )
    table = Path('out/sweep.md').read_text().splitlines()
    assert len(table) == 3 + 8
    assert cv2.imread('out/sweep.png') is not None
    assert not Path('out/measured.caffemodel').exists()


def test_weights_of_another_shape_name_the_layer(folder):
    other = NET.replace('num_output: 16', 'num_output: 17')
    Path('other.prototxt').write_text(other)
    check_fits(read_caffemodel('net.caffemodel'), 'net.prototxt')
    with pytest.raises(SlimError, match='other.prototxt: layer fc expects blobs 17x96, 17, the weights have 16x96, 16'):
        check_fits(read_caffemodel('net.caffemodel'), 'other.prototxt')


@pytest.mark.parametrize('text', ['12-4', '0-3', '4,20', 'four', '4-'])
def test_bad_ranges(text):
    with pytest.raises(SlimError, match='bits'):
        parse_range(text)


def test_bad_measure_and_images(folder):
    with pytest.raises(SlimError, match='expected module:function'):
        named_measure('nowhere:nothing')
    Path('list.txt').write_text('\nfaces/0.png 3\r\nfaces/sp ace.png 1\n')
    with pytest.raises(SlimError, match="^list.txt:3: 'faces/sp ace.png 1': no such picture"):
        list_images('list.txt', 3)
    Path('faces/0.png').rename('faces/sp ace.png')
    Path('list.txt').write_text('faces/sp ace.png 1\nfaces/sp ace.png\nfaces/1.png 0.5 more\n')
    assert [path.name for path in list_images('list.txt', 3)] == ['sp ace.png', 'sp ace.png', '1.png']
    with pytest.raises(SlimError, match='no images'):
        Path('empty').mkdir()
        list_images('empty', 3)
    Path('faces/bad.png').write_bytes(b'not a picture')
    with pytest.raises(SlimError, match='bad.png: is broken or no picture'):
        list(feed_for(read_net('net.prototxt'), list_images('faces', 10), InputForm(crop='area'))())


def test_sweep_command_with_a_measure_of_ones_own(folder, monkeypatch):
    Path('own.py').write_text('import os\ndef size(prototxt, weights):\n    return os.path.getsize(weights)\n')
    monkeypatch.syspath_prepend(folder)
    find_command('quantize').run(
        [
            'sweep',
            'net.caffemodel',
            '--out',
            'out',
            '--deploy',
            'net.prototxt',
            '--bits',
            '5',
            '--scopes',
            'layer',
            '--accuracy',
            'own:size',
        ]
    )
    row = Path('out/sweep.md').read_text().splitlines()[-1]
    assert row.startswith('| linear-filter | all | layer | 5 |')
    assert float(row.split('|')[-2]) == pytest.approx(Path('net.caffemodel').stat().st_size, rel=0.05)


def test_accuracy_of_the_test_phase(folder):
    data = """layer { name: "data" type: "DummyData" top: "data" top: "label" include { phase: TEST } dummy_data_param {
      shape { dim: 4 dim: 3 dim: 6 dim: 5 } shape { dim: 4 }
      data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 7 } } }"""
    accuracy = 'layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" }'
    Path('test.prototxt').write_text(data + NET.split('\n', 2)[2] + accuracy)
    net = read_caffemodel('net.caffemodel')
    fc = next(layer for layer in net.layer if layer.name == 'fc')
    measure = accuracy_of_test_phase(2)
    for winner, expected in ((7, 1), (6, 0)):
        fc.blobs[1].data[:] = [100.0 * (i == winner) for i in range(16)]
        Path('w.caffemodel').write_bytes(net.SerializeToString())
        assert measure('test.prototxt', 'w.caffemodel') == expected
    with pytest.raises(SlimError, match='no blob top5'):
        accuracy_of_test_phase(1, 'top5')('test.prototxt', 'w.caffemodel')
