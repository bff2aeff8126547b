"""How far the steps of a blob reach."""

import tracemalloc

import numpy as np
import pytest
from sphereslim.errors import SlimError
from sphereslim.int8.ranges import METHODS, chosen_range, measure, squared_error
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import parse_net
from sphereslim.sampling.sampler import Sampler

NET = """
layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 dim: 8 dim: 8 } } }
layer { name: "same" type: "Power" bottom: "x" top: "y" }
"""


def values_of(*batches):
    sampler = Sampler(open_net(parse_net(NET)), [{'x': batch} for batch in batches])
    (values,) = measure(sampler, [sampler.after('same', 'y')])
    return values


@pytest.fixture(scope='module')
def with_outliers():
    x = np.random.default_rng(0).normal(size=(400, 2, 8, 8)).astype(np.float32)
    x[0, 0, 0, 0] = 12
    return values_of(*np.split(x, 4)), x


def test_what_is_measured_does_not_depend_on_batches(with_outliers):
    values, x = with_outliers
    whole = values_of(x)
    assert (values.low, values.high) == (x.min(), x.max()) and values.counts.sum() == x.size
    assert values.mean == pytest.approx(x.mean(0), abs=1e-6) and (values.largest == np.abs(x).max(0)).all()
    assert (values.counts == whole.counts).all()


def test_measuring_does_not_keep_what_the_blobs_of_a_batch_hold():
    text, names = NET, [f'y{number}' for number in range(40)]
    for bottom, top in zip(['y', *names], names):
        text += f'layer {{ name: "{top}" type: "Power" bottom: "{bottom}" top: "{top}" }}\n'
    x = np.random.default_rng(0).normal(size=(512, 2, 8, 8)).astype(np.float32)
    sampler = Sampler(open_net(parse_net(text)), [{'x': x}])
    tracemalloc.start()
    found = measure(sampler, [sampler.after(name, name) for name in names])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert all(values.counts.sum() == x.size for values in found) and peak < 20 * x.nbytes


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('steps', [255, 254])
def test_ranges_hold_zero_and_no_more_than_the_values(with_outliers, method, steps):
    values, _ = with_outliers
    low, high = chosen_range(values, method, steps)
    assert low <= 0 <= high <= values.high
    assert low == -high if steps == 254 else low >= values.low
    if method == 'minmax':
        assert high == values.high
    else:
        assert high < 0.9 * values.high


def test_the_least_error_is_less_than_that_of_other_methods(with_outliers):
    values, x = with_outliers
    errors = {method: squared_error(values, chosen_range(values, method, 255), 255) for method in METHODS}
    assert min(errors, key=errors.get) == 'mse'
    low, high = chosen_range(values, 'mse', 255)
    step = (high - low) / 255
    zero = round(-low / step)
    rounded = (np.clip(np.rint(x / step) + zero, 0, 255) - zero) * step
    assert errors['mse'] == pytest.approx(((rounded - x) ** 2).mean(), rel=0.1)


def test_kl_keeps_the_whole_of_an_even_spread():
    even = np.linspace(-1, 3, 4 * 128, dtype=np.float32).reshape(4, 2, 8, 8)
    assert chosen_range(values_of(even), 'kl', 255) == pytest.approx((-1, 3), rel=0.1)


def test_a_blob_of_zeros_has_a_range_and_one_of_no_numbers_is_told():
    zeros = np.zeros((4, 2, 8, 8), np.float32)
    assert chosen_range(values_of(zeros), 'mse', 255) == (-1, 1)
    with pytest.raises(SlimError, match="blob 'y' .* is not all numbers"):
        values_of(zeros + np.nan)
