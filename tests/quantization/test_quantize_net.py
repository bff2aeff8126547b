"""Formulas against hand-computed cases; packing, dictionaries and the file as properties."""

import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from repository import ROOT
from sphereslim.commands.ending import run_command
from sphereslim.commands.program import find_command
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.quantization import (
    blob_values,
    dequantize,
    linear_min_max,
    log_min_max,
    quantize_net,
    read_caffemodel,
    read_quantized,
    to_bytes,
    write_quantized,
)
from sphereslim.quantization.bits import parse_bits
from sphereslim.quantization.file import read_network
from sphereslim.quantization.indices import build_dictionary, index, pack, packed_size, unpack
from sphereslim.quantization.inspect import blob_rows, inspect_text, sizes

COMMAND = ROOT / 'python' / 'quantize.py'

weights_arrays = arrays(
    np.float32,
    st.tuples(st.integers(2, 5), st.integers(2, 9)),
    elements=st.one_of(st.just(0.0), st.floats(-4, 4, width=32)),
)
schemes = st.sampled_from(['log', 'log+sign', 'linear'])
scopes = st.sampled_from(['layer', 'network'])


def make_net(**weights):
    """A NetParameter of InnerProduct layers, or Convolution where the name says conv, with a bias each."""
    net = caffe_pb2.NetParameter(name='small')
    for name, values in weights.items():
        values = np.asarray(values, np.float32)
        layer = net.layer.add(name=name, type='Convolution' if 'conv' in name else 'InnerProduct')
        for array in (values, values.reshape(len(values), -1)[:, 0]):
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(array.reshape(-1).tolist())
    return net


def published(x, b, low=None, high=None):
    """The published formula, element by element."""
    logs = [np.log(np.float64(abs(v))) for v in x.reshape(-1).tolist() if v]
    if not logs:
        return np.zeros_like(x)
    low, high = min(logs) if low is None else low, max(logs) if high is None else high
    step = (high - low) / 2**b

    def one(v):
        if v == 0:
            return 0.0
        level = np.floor((np.log(np.float64(abs(v))) - low) / step) if step else 0
        return math.copysign(float(np.exp(np.float64(level * step + low))), v)

    return np.array([one(v) for v in x.reshape(-1).tolist()], np.float32).reshape(x.shape)


def quantized_blob(net, layer=0, blob=0):
    return blob_values(net, net.layers[layer].blobs[blob])


def test_log_min_max_by_hand():
    # f runs from 0 to ln 16; two bits give steps of ln 2, so magnitudes fall to powers of two, 16 stays.
    x = np.array([1, -1.5, 2, 3.9, -4, 7, 8, 15.9, -16, 0], np.float32)
    expected = np.array([1, -1, 2, 2, -4, 4, 8, 8, -16, 0])
    np.testing.assert_allclose(log_min_max(x, 2), expected, rtol=1e-6)


def test_linear_min_max_by_hand():
    np.testing.assert_array_equal(linear_min_max(np.array([-1, -0.4, 0.1, 0.9, 2]), 2), [-1, 0, 0, 1, 2])


def test_log_counts_the_sign_as_a_bit():
    x = np.random.default_rng(0).normal(size=(8, 50)).astype(np.float32)
    inside, beside = (quantize_net(make_net(fc=x), 6, scheme) for scheme in ('log', 'log+sign'))
    np.testing.assert_array_equal(quantized_blob(inside), log_min_max(x, 5))
    np.testing.assert_array_equal(quantized_blob(beside), log_min_max(x, 6))
    assert inside.dictionaries[0].bits == 6 and beside.dictionaries[0].bits == 7


@given(weights_arrays, st.integers(1, 10))
def test_round_trip_is_the_formula_bit_for_bit(x, b):
    restored = dequantize(quantize_net(make_net(fc=x), b, 'log+sign'))
    found = np.array(restored.layer[0].blobs[0].data, np.float32).reshape(x.shape)
    assert found.tobytes() == published(x, b).tobytes()


@given(weights_arrays, weights_arrays, st.integers(1, 8))
def test_network_scope_uses_one_range(x, y, b):
    logs = np.log(np.abs(np.concatenate([x[x != 0], y[y != 0]])).astype(np.float64))
    low, high = (logs.min(), logs.max()) if logs.size else (0, 0)
    net = quantize_net(make_net(a=x, b=y), b, 'log+sign', 'network')
    assert len(net.dictionaries) == 1
    for number, values in enumerate((x, y)):
        assert quantized_blob(net, number).tobytes() == published(values, b, low, high).tobytes()


def test_network_scope_uses_one_range_over_layers_of_different_bits():
    x, y = np.linspace(-1, 3, 30, dtype=np.float32), np.linspace(-0.2, 0.1, 30, dtype=np.float32)
    net = quantize_net(make_net(a=x.reshape(5, 6), b=y.reshape(5, 6)), {'a': 8, 'b': 5}, 'linear', 'network')
    step = 4 / (2**5 - 1)
    np.testing.assert_allclose(quantized_blob(net, 1).ravel(), np.round((y + 1) / step) * step - 1, atol=1e-6)


@pytest.mark.parametrize('scope', ['layer', 'network'])
@pytest.mark.parametrize('scheme', ['log', 'log+sign', 'linear'])
def test_weights_that_are_all_zero_stay_zero_without_a_warning(scheme, scope):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        net = quantize_net(make_net(a=np.zeros((3, 4)), b=np.zeros((2, 5))), 4, scheme, scope)
    assert not quantized_blob(net).any() and not quantized_blob(net, 1).any()


def test_the_most_frequent_levels_are_those_that_indices_address():
    codes, table = np.array([0, 1, 1, 3, 3, 3]), np.float32([-2, -1, 0, 1])
    dictionary, entry_of = build_dictionary([codes[:2], codes[2:]], table, 1)
    assert dictionary.values.tolist() == [-1, 1, -2]
    indices, escapes = index(codes, entry_of, dictionary)
    assert indices.tolist() == [0, 0, 0, 1, 1, 1] and {e: p.tolist() for e, p in escapes.items()} == {2: [0]}


def test_vectors_and_scales_in_half_precision_are_read_as_they_were_rounded(tmp_path):
    rng = np.random.default_rng(0)
    net = make_net(conv=rng.normal(size=(6, 5)), fc=rng.normal(size=(4, 7)))
    plain, half = (quantize_net(net, 5, 'linear-filter', vectors=vectors) for vectors in (None, 'half'))
    sizes_ = [write_quantized(each, tmp_path / name) for each, name in ((plain, 'plain'), (half, 'half'))]
    # two bytes less for each of 10 biases and 10 scales
    assert sizes_[0] - sizes_[1] == 40
    read = read_quantized(tmp_path / 'half')
    for number in range(2):
        for blob in range(2):
            assert np.array_equal(quantized_blob(read, number, blob), quantized_blob(half, number, blob))
        bias, exact = (quantized_blob(each, number, 1) for each in (read, plain))
        assert np.array_equal(bias, exact.astype(np.float16)) and not np.array_equal(bias, exact)
    assert (tmp_path / 'plain').read_bytes()[2:15] == b'qcaffemodel 1'
    assert (tmp_path / 'half').read_bytes()[2:15] == b'qcaffemodel 2'


def test_what_half_precision_cannot_hold_stays_float32():
    net = make_net(large=np.full((2, 3), 1e7), small=np.full((2, 3), 1e-7), kept=np.ones((2, 3)))
    norm = net.layer.add(name='norm', type='BatchNorm')
    statistics = norm.blobs.add(data=[0.1, 0.2])
    statistics.shape.dim.append(2)
    quantized = quantize_net(net, {'large': 5, 'small': 5, 'kept': 32}, 'linear-filter', vectors='half')
    assert not any(blob.half for layer in quantized.layers for blob in layer.blobs)


@pytest.mark.parametrize('bits', range(2, 8))
def test_escaped_weights_leave_their_neighbours_alone(tmp_path, bits):
    rng = np.random.default_rng(bits)
    x = np.exp(rng.uniform(-3, 3, (40, 50))) * rng.choice([-1, 0, 1], (40, 50))
    net = quantize_net(make_net(fc=x), bits)
    assert net.layers[0].blobs[0].escapes
    write_quantized(net, tmp_path / 'q')
    np.testing.assert_array_equal(quantized_blob(read_quantized(tmp_path / 'q')), quantized_blob(net))


@given(weights_arrays, st.integers(1, 8), schemes)
def test_quantizing_keeps_order(x, bits, scheme):
    found = quantized_blob(quantize_net(make_net(fc=x), bits, scheme)).reshape(-1)
    assert (np.diff(found[np.argsort(x.reshape(-1), kind='stable')]) >= 0).all()


@given(weights_arrays, st.integers(1, 8))
def test_zeros_and_signs_are_kept(x, bits):
    found = quantized_blob(quantize_net(make_net(fc=x), bits, 'log'))
    np.testing.assert_array_equal(np.sign(found), np.sign(x))


@given(st.integers(1, 17), st.integers(0, 70), st.randoms(use_true_random=False))
def test_packing_round_trip(bits, count, random):
    indices = np.array([random.randrange(2**bits) for _ in range(count)], np.uint32)
    data = pack(indices, bits)
    assert len(data) == packed_size(count, bits) == math.ceil(count * bits / 8)
    np.testing.assert_array_equal(unpack(data, count, bits), indices)


@pytest.mark.parametrize('bits', range(1, 9))
def test_packing_is_a_little_endian_bit_stream(bits):
    indices = np.random.default_rng(bits).integers(0, 2**bits, 101).astype(np.uint8)
    stream = (indices[:, None] >> np.arange(bits)) & 1
    assert pack(indices, bits) == np.packbits(stream.astype(np.uint8), bitorder='little').tobytes()


def varint(value):
    return max(1, math.ceil(value.bit_length() / 7))


def field(length):
    """Bytes of a length-delimited field; none when it is empty."""
    return 1 + varint(length) + length if length else 0


def number(value):
    return 1 + varint(value) if value else 0


def documented_size(net):
    """The size that docs/qcaffemodel.md derives for a file without entropy coding."""
    dictionaries = sum(field(number(d.bits) + field(4 * len(d.values))) for d in net.dictionaries)
    layers = 0
    for layer in net.layers:
        blobs = 0
        for blob in layer.blobs:
            size = field(sum(varint(extent) for extent in blob.shape)) + 2 * blob.legacy
            if blob.dictionary is None:
                size += field(4 * blob.count)
            else:
                size += (5 if np.float32(blob.error) else 0) + number(blob.dictionary + 1)
                size += field(math.ceil(blob.count * net.dictionaries[blob.dictionary].bits / 8))
                size += field(0 if blob.scales is None else 4 * len(blob.scales))
            for entry, positions in blob.escapes.items():
                plane = math.ceil(blob.count / 8)
                bare = 4 * len(positions) if 4 * len(positions) <= plane else plane
                size += field(number(entry) + 2 * (bare < 4 * len(positions)) + field(bare))
            blobs += 1 + varint(size) + size
        size = field(len(layer.name)) + field(len(layer.type)) + blobs
        layers += 1 + varint(size) + size
    network = field(len(net.name)) + field(len(net.scheme)) + field(len(net.scope)) + dictionaries + layers
    return 15 + 34 + field(network)


@settings(max_examples=60, deadline=None)
@given(weights_arrays, weights_arrays, st.integers(1, 9), schemes, scopes, st.sampled_from([None, 5]))
def test_file_has_the_documented_size_and_reads_back(tmp_path_factory, x, y, bits, scheme, scope, vectors):
    path = tmp_path_factory.mktemp('q') / 'net.qcaffemodel'
    net = quantize_net(make_net(conv=x, fc=y), bits, scheme, scope, vectors=vectors)
    assert write_quantized(net, path) == path.stat().st_size == documented_size(net)
    assert dequantize(read_quantized(path)) == dequantize(net)


def test_indices_take_bits_times_weights_over_eight(tmp_path):
    x = np.random.default_rng(1).normal(size=(40, 25, 3, 3))
    net = quantize_net(make_net(conv=x), 6)
    write_quantized(net, tmp_path / 'q')
    total = sizes(read_network(tmp_path / 'q'), (tmp_path / 'q').stat().st_size)
    assert total.indices == 9000 * 6 / 8 and total.floats == 4 * 40
    assert total.dictionaries == 4 * len(net.dictionaries[0].values)
    assert sum(total[:-1]) == total.file


@pytest.mark.parametrize('coding', ['none', 'zlib', 'lzma'])
@pytest.mark.parametrize('bits', [1, 5, 8, 11, 16])
def test_entropy_coding_loses_nothing(tmp_path, coding, bits):
    x = np.random.default_rng(bits).standard_t(3, size=(30, 300))
    net = quantize_net(make_net(fc=x), bits)
    write_quantized(net, tmp_path / 'q', coding)
    assert dequantize(read_quantized(tmp_path / 'q')) == dequantize(net)


def test_entropy_coding_shrinks_skewed_indices():
    net = quantize_net(make_net(fc=np.random.default_rng(0).laplace(size=(100, 400))), 8, 'linear')
    assert len(to_bytes(net, 'zlib')) < 0.9 * len(to_bytes(net))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_byte_is_detected(tmp_path_factory, data):
    path = tmp_path_factory.mktemp('q') / 'net.qcaffemodel'
    good = to_bytes(quantize_net(make_net(fc=np.arange(-30, 30).reshape(6, 10)), 4))
    position = data.draw(st.integers(0, len(good) - 1))
    damage = data.draw(st.sampled_from(['change', 'cut', 'append']))
    bad = bytearray(good)
    if damage == 'change':
        bad[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(
        bytes(bad[:position])
        if damage == 'cut'
        else bytes(bad) + bytes([position % 256] * 3)
        if damage == 'append'
        else bytes(bad)
    )
    with pytest.raises(SlimError, match='net.qcaffemodel'):
        read_quantized(path)


def test_many_escaped_positions_become_a_bit_plane(tmp_path):
    # One bit: two entries for the indices, three values more, hence escapes that hold a third of the weights.
    x = np.array([[-2, 0, 2, 1, -1, 2] * 40])
    net = quantize_net(make_net(fc=np.concatenate([x, x])), 1)
    write_quantized(net, tmp_path / 'q')
    assert net.layers[0].blobs[0].escapes
    np.testing.assert_array_equal(quantized_blob(read_quantized(tmp_path / 'q')), quantized_blob(net))


def test_few_escaped_positions_are_listed(tmp_path):
    x = np.full(320, 0.5)
    x[7], x[100] = 8, -8
    write_quantized(quantize_net(make_net(fc=x.reshape(1, 320) * [[1], [1]]), 1), tmp_path / 'q')
    blob = read_network(tmp_path / 'q').layer[0].blob[0]
    assert [(escape.plane, len(escape.positions)) for escape in blob.escape] == [(False, 8)]


def test_what_is_no_field_of_the_file_is_damage(tmp_path):
    whole = to_bytes(quantize_net(make_net(fc=[[1, 2], [3, 4]]), 4))
    (tmp_path / 'q').write_bytes(whole + b'\x78\x01')  # field 15, which any protobuf reader passes over
    with pytest.raises(SlimError, match='damaged, its checksum does not match'):
        read_quantized(tmp_path / 'q')


def test_binary_is_sign_times_mean_magnitude_of_the_filter(tmp_path):
    net = quantize_net(make_net(conv=[[1, -3], [0.5, 0], [-2, -2]]), 1, 'binary')
    expected = [[2, -2], [0.25, 0.25], [-2, -2]]
    np.testing.assert_array_equal(quantized_blob(net), expected)
    write_quantized(net, tmp_path / 'q')
    np.testing.assert_array_equal(quantized_blob(read_quantized(tmp_path / 'q')), expected)


def test_vectors_stay_float32_unless_asked():
    x = np.random.default_rng(2).normal(size=(50, 30)).astype(np.float32)
    kept, asked = quantize_net(make_net(fc=x), 4), quantize_net(make_net(fc=x), 4, vectors=8)
    np.testing.assert_array_equal(quantized_blob(kept, 0, 1), x[:, 0])
    np.testing.assert_array_equal(quantized_blob(asked, 0, 1), log_min_max(x[:, 0], 7))


def test_convolutions_only():
    x = np.random.default_rng(2).normal(size=(20, 30)).astype(np.float32)
    net = quantize_net(make_net(conv=x, fc=x), 4, only='conv')
    np.testing.assert_array_equal(quantized_blob(net, 1), x)
    np.testing.assert_array_equal(quantized_blob(net, 0), log_min_max(x, 3))


def test_bits_per_layer():
    x = np.random.default_rng(3).normal(size=(20, 30))
    net = quantize_net(make_net(a=x, b=x, c=x), parse_bits('a=8,b=32,*=5'))
    assert [d.bits for d in net.dictionaries] == [8, 5]
    assert net.layers[1].blobs[0].dictionary is None


def test_legacy_shapes_stay_legacy():
    net = make_net(fc=[[1, 2], [3, 4]])
    blob = net.layer[0].blobs[0]
    blob.ClearField('shape')
    blob.num, blob.channels, blob.height, blob.width = 1, 1, 2, 2
    restored = dequantize(quantize_net(net, 8)).layer[0].blobs[0]
    assert (restored.num, restored.channels, restored.height, restored.width) == (1, 1, 2, 2)
    assert not restored.HasField('shape')


def test_old_layers_get_their_type_names():
    old = caffe_pb2.NetParameter()
    for name, kind in (('ip', 'INNER_PRODUCT'), ('conv', 'CONVOLUTION')):
        layer = old.layers.add(name=name, type=caffe_pb2.V1LayerParameter.LayerType.Value(kind))
        layer.blobs.add().CopyFrom(make_net(fc=[[1, 2], [3, 4]]).layer[0].blobs[0])
    restored = dequantize(quantize_net(old, 3, only='conv'))
    assert [layer.type for layer in restored.layer] == ['InnerProduct', 'Convolution']
    assert list(restored.layer[0].blobs[0].data) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    'bits, scheme, message',
    [
        (0, 'log', 'bits: 0, expected a whole number from 1 to 16'),
        (17, 'log', 'from 1 to 16'),
        (2.5, 'linear', 'whole number'),
        (4, 'binary', 'expected 1'),
        (6, 'cubic', 'scheme cubic'),
        ({'nowhere': 4}, 'log', 'layer nowhere'),
        ({'fc': 40}, 'log', 'bits of layer fc: 40'),
    ],
)
def test_bad_requests(bits, scheme, message):
    with pytest.raises(SlimError, match=message):
        quantize_net(make_net(fc=[[1, 2], [3, 4]]), bits, scheme)


def test_bad_weights_name_their_layer():
    with pytest.raises(SlimError, match='layer fc, blob 0: infinite'):
        quantize_net(make_net(fc=[[1, np.inf], [3, 4]]), 4)
    net = make_net(fc=[[1, 2], [3, 4]])
    del net.layer[0].blobs[0].data[3:]
    with pytest.raises(SlimError, match='layer fc, blob 0: a blob of shape .2, 2. holds 3'):
        quantize_net(net, 4)


def run(*arguments):
    main = find_command('quantize').run
    run_command(lambda: main([str(argument) for argument in arguments]))


def test_commands_there_and_back(tmp_path, capsys):
    net = make_net(conv1=np.random.default_rng(4).normal(size=(8, 3, 3, 3)))
    (tmp_path / 'net.caffemodel').write_bytes(net.SerializeToString())
    for arguments in (
        ['quantize', tmp_path / 'net.caffemodel', '--scheme', 'log', '--out', tmp_path / 'q', '--bits', 'conv1=5'],
        ['inspect', tmp_path / 'q'],
    ):
        with pytest.raises(SystemExit) as stop:
            run(*arguments)
        assert not stop.value.code
    table = capsys.readouterr().out
    assert '8x3x3x3' in table and f'{(tmp_path / "q").stat().st_size} bytes' in table
    fresh = [sys.executable, COMMAND, 'dequantize', tmp_path / 'q', '--out', tmp_path / 'back.caffemodel']
    subprocess.run(fresh, check=True, capture_output=True)
    assert read_caffemodel(tmp_path / 'back.caffemodel') == dequantize(quantize_net(net, 5))


@pytest.mark.parametrize('encoding, comment', [('gbk', '# \u4eba\u8138'), ('latin-1', '# gr\xf6\xdfer')])
def test_a_deploy_with_comments_in_any_encoding_comes_out_as_it_went_in(tmp_path, encoding, comment):
    (tmp_path / 'net.caffemodel').write_bytes(make_net(fc=[[1, 2], [3, 4]]).SerializeToString())
    deploy = tmp_path / 'deploy.prototxt'
    deploy.write_bytes(
        comment.encode(encoding)
        + b"""
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 } } }
        layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 2 } }"""
    )
    for words in (
        ['quantize', tmp_path / 'net.caffemodel', '--out', tmp_path / 'q', '--deploy', deploy],
        ['dequantize', tmp_path / 'q', '--out', tmp_path / 'back', '--write-deploy', tmp_path / 'back.prototxt'],
    ):
        with pytest.raises(SystemExit) as end:
            run(*words)
        assert not end.value.code
    assert (tmp_path / 'back.prototxt').read_bytes() == deploy.read_bytes()


@pytest.mark.parametrize(
    'arguments',
    [
        ['inspect', 'garbage'],
        ['dequantize', 'garbage', '--out', 'out'],
        ['dequantize', 'missing', '--out', 'out'],
        ['quantize', 'garbage', '--out', 'out'],
        ['quantize', 'net.caffemodel', '--out', 'out', '--bits', '40'],
        ['quantize', 'net.caffemodel', '--out', 'out', '--bits', 'six'],
    ],
)
def test_commands_fail_with_one_line(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    Path('garbage').write_bytes(b'certainly not a network')
    Path('net.caffemodel').write_bytes(make_net(fc=[[1, 2], [3, 4]]).SerializeToString())
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    # sys.exit(text) prints the text on stderr and exits with status 1.
    assert stop.value.code.startswith('error: ') and '\n' not in stop.value.code
    assert not Path('out').exists()


def test_rows_of_the_table(tmp_path):
    net = quantize_net(make_net(conv=np.arange(1, 25).reshape(4, 6)), 3)
    write_quantized(net, tmp_path / 'q')
    row, bias = blob_rows(read_network(tmp_path / 'q'))
    assert (row.bits, row.count, row.entries, row.coding) == (3, 24, 5, 'packed')
    assert (bias.bits, bias.data, bias.error) == (32, 16, 0)
    x = np.arange(1, 25)
    expected = np.linalg.norm(log_min_max(x, 2) - x) / np.linalg.norm(x)
    assert row.error == pytest.approx(expected, rel=1e-6)
    assert 'conv' in inspect_text(tmp_path / 'q')
