"""linear-filter: levels by hand, a scale for every filter, the file's round trip, bits that make no sense."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.quantization import blob_values, linear_min_max, quantize_net, read_quantized, write_quantized
from sphereslim.quantization.schemes import filter_codes, filter_levels

weights_arrays = arrays(
    np.float32,
    st.tuples(st.integers(2, 5), st.integers(2, 9)),
    elements=st.floats(-4, 4, width=32, allow_subnormal=False),
)


def make_net(weights):
    net = caffe_pb2.NetParameter(name='small')
    layer = net.layer.add(name='ip', type='InnerProduct')
    for array in (weights, weights[:, 0]):
        blob = layer.blobs.add()
        blob.shape.dim.extend(array.shape)
        blob.data.extend(array.reshape(-1).tolist())
    return net


def test_levels_by_hand():
    assert filter_levels(3).tolist() == [-3, -2, -1, 0, 1, 2, 3]
    codes, scales = filter_codes(np.float32([[3, -2, 1], [0.3, 0.1, 0], [0, 0, 0]]), 3)
    assert scales == pytest.approx([1, 0.1, 0])
    assert codes.reshape(3, 3).tolist() == [[6, 1, 4], [6, 4, 3], [3, 3, 3]]


def test_a_filter_with_one_large_weight_is_clipped():
    weights = np.float32([[1, *[0.3] * 10]] * 2)
    codes, scales = filter_codes(weights, 2)
    error = np.linalg.norm(filter_levels(2)[codes].reshape(weights.shape) * scales[:, None] - weights)
    assert scales == pytest.approx([0.5, 0.5]) and error < 0.9 * np.linalg.norm(weights[:, 1:])


@settings(max_examples=200, deadline=None)
@given(weights_arrays, st.integers(2, 10))
@example(np.float32([[2.0**-126, 0], [0, 0]]), 4)  # a subnormal scale
def test_no_filter_is_worse_than_unclipped_rounding(weights, bits):
    n = 2 ** (bits - 1) - 1
    codes, scales = filter_codes(weights, bits)
    ours = filter_levels(bits)[codes].reshape(weights.shape) * scales[:, None]
    for row, found in zip(weights.astype(np.float64), ours):
        step = np.abs(row).max() / n
        plain = np.round(row / step) * step if step else row
        # scale and product are float32: each may be off by 2^-24 of the weight, or by 2^-150 where it is subnormal
        rounding = 2**-23 * np.linalg.norm(row) + (n + 1) * 2.0**-150 * len(row) ** 0.5
        assert np.linalg.norm(found - row) <= np.linalg.norm(plain - row) + rounding


@settings(max_examples=30, deadline=None)
@given(weights_arrays, st.integers(2, 10), st.sampled_from(['none', 'lzma']), st.sampled_from([None, 8]))
def test_file_gives_back_scale_times_level(tmp_path_factory, weights, bits, coding, vectors):
    path = tmp_path_factory.mktemp('filters') / 'net.qcaffemodel'
    quantized = quantize_net(make_net(weights), bits, 'linear-filter', vectors=vectors)
    write_quantized(quantized, path, coding)
    read = read_quantized(path)
    codes, scales = filter_codes(weights, bits)
    expected = filter_levels(bits)[codes].reshape(weights.shape) * scales[:, None]
    assert np.array_equal(blob_values(read, read.layers[0].blobs[0]), expected.astype(np.float32))
    vector = blob_values(read, read.layers[0].blobs[1])
    assert np.array_equal(vector, weights[:, 0]) or vectors
    assert vector.shape == (len(weights),)


def test_filters_of_unequal_magnitude_keep_their_own_levels():
    magnitudes = np.float32([[1], [0.1], [0.01], [0.001]])
    weights = np.random.default_rng(1).normal(size=(4, 50)).astype(np.float32) * magnitudes
    quantized = quantize_net(make_net(weights), 6, 'linear-filter')
    ours = np.abs(blob_values(quantized, quantized.layers[0].blobs[0]) - weights).max(axis=1)
    common = np.abs(linear_min_max(weights, 6) - weights).max(axis=1)
    assert (ours[1:] < 0.2 * common[1:]).all()


def test_one_bit_is_refused():
    with pytest.raises(SlimError, match='bits: 1, expected at least 2 for the linear-filter scheme'):
        quantize_net(make_net(np.ones((2, 2), np.float32)), 1, 'linear-filter')
