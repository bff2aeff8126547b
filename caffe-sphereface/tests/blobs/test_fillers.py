"""Fillers: the distributions that they promise, and refusals."""

import numpy as np
import pytest

import caffe
from caffe.blobs.blob import Blob
from caffe.blobs.fillers import fill
from caffe.proto import caffe_pb2

SHAPE = (64, 32, 5, 5)


def filled(shape=SHAPE, **param):
    caffe.set_random_seed(3)
    blob = Blob(*shape)
    fill(blob, caffe_pb2.FillerParameter(**param), 'test')
    return blob.data.copy()


@pytest.mark.parametrize('norm, n', [('FAN_IN', 32 * 25), ('FAN_OUT', 64 * 25), ('AVERAGE', 48 * 25)])
def test_xavier_is_uniform_within_root_of_3_over_n(norm, n):
    values = filled(type='xavier', variance_norm=norm)
    bound = np.sqrt(3 / n)
    assert np.abs(values).max() <= bound
    assert np.isclose(values.std(), bound / np.sqrt(3), rtol=0.02)


def test_msra_has_variance_2_over_n():
    assert np.isclose(filled(type='msra').std(), np.sqrt(2 / (32 * 25)), rtol=0.02)


def test_gaussian_and_uniform():
    values = filled(type='gaussian', mean=1, std=0.5)
    assert np.isclose(values.mean(), 1, atol=0.01) and np.isclose(values.std(), 0.5, rtol=0.02)
    values = filled(type='uniform', min=-1, max=3)
    assert values.min() >= -1 and values.max() <= 3 and np.isclose(values.mean(), 1, atol=0.03)


def test_sparse_gaussian_leaves_as_many_weights_as_asked():
    values = filled((100, 400), type='gaussian', std=1, sparse=10)
    assert np.isclose(np.mean(values != 0), 0.1, atol=0.01)


def test_gaussian_unitball_rows_have_length_one_in_any_direction():
    values = filled((500, 3), type='gaussian_unitball')
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, rtol=1e-5)
    assert np.abs(values.mean(0)).max() < 0.1


def test_positive_unitball_rows_sum_to_one():
    values = filled((5, 7), type='positive_unitball')
    assert (values >= 0).all() and np.allclose(values.sum(1), 1)


def test_bilinear_upsamples_by_two():
    values = filled((1, 1, 4, 4), type='bilinear')
    line = np.array([0.25, 0.75, 0.75, 0.25])
    assert np.allclose(values[0, 0], np.outer(line, line))


@pytest.mark.parametrize(
    'param, bound',
    [
        ({'type': 'xavier'}, np.sqrt(3)),
        ({'type': 'xavier', 'variance_norm': 'AVERAGE'}, np.sqrt(3)),
        ({'type': 'msra'}, 9),
        ({'type': 'gaussian', 'sparse': 1}, 9),
        ({'type': 'positive_unitball'}, 1),
    ],
)
def test_a_value_without_axes_counts_as_one_of_one(param, bound):
    value = filled(shape=(), **param)
    assert value.shape == () and 0 < abs(value) <= bound


def test_the_same_seed_gives_the_same_values():
    assert (filled(type='xavier') == filled(type='xavier')).all()


def test_unknown_and_unfitting_fillers_are_named():
    with pytest.raises(caffe.CaffeError, match="unknown filler 'xaver'.*xavier"):
        filled(type='xaver')
    with pytest.raises(caffe.CaffeError, match='square'):
        filled((2, 3), type='bilinear')
    for wrong, message in (
        ({'type': 'gaussian', 'std': 0}, 'filler gaussian: std is 0, expected more than 0'),
        ({'type': 'uniform', 'min': 1, 'max': 0}, 'filler uniform: min is 1 and max 0'),
        ({'type': 'xavier', 'sparse': 1}, 'filler xavier has sparse, expected it with gaussian only'),
    ):
        with pytest.raises(caffe.CaffeError, match=message):
            filled(**wrong)
