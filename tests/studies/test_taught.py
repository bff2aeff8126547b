"""A net learns what a face model said of each picture, looked up by the picture's row."""

import numpy as np
import pytest
from sphereslim.errors import SlimError
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import parse_net
from sphereslim.rewrite.distill import without_teacher
from sphereslim.studies.taught import spread, taught_net

DEPLOY = """name: "n"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 6 weight_filler { type: "gaussian" std: 1 } } }"""
TRAIN = (
    DEPLOY.replace('top: "data" input', 'top: "data" top: "label" input')
    .replace('dim: 3 } }', 'dim: 3 } shape { dim: 4 } }')
    .replace('dim: 1 dim: 1', 'dim: 4 dim: 1')
    + """
layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" }
layer { name: "classes" type: "InnerProduct" bottom: "fc" top: "classes" inner_product_param { num_output: 9 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "classes" bottom: "label" top: "loss" }"""
)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def directions():
    return unit(np.random.default_rng(0).standard_normal((5, 3))).astype(np.float32)


@pytest.mark.parametrize('head', [False, True])
def test_the_loss_is_one_minus_the_mean_cosine_to_the_rows_of_the_pictures(tmp_path, directions, head):
    net, weights = taught_net(parse_net(TRAIN), parse_net(DEPLOY), directions, head)
    assert 'classes' not in {layer.name for layer in net.layer} and 'drop' in {layer.name for layer in net.layer}
    opened = open_net(net, weights)  # in phase TEST, where nothing is dropped
    opened.blobs['data'].data[...] = np.random.default_rng(1).standard_normal((4, 1, 2, 3))
    opened.blobs['label'].data[...] = rows = np.array([4, 0, 2, 2])
    loss = opened.forward()['distill_feature_loss']
    made = opened.blobs['teacher_head' if head else 'fc'].data
    told = directions if head else spread(directions, 6)
    assert float(loss) == pytest.approx(1 - (unit(made) * told[rows]).sum(1).mean(), abs=1e-5)
    opened.backward()
    assert np.abs(opened.params['fc'][0].diff).max() > 0
    kept = without_teacher(weights_of(opened))
    assert [layer.name for layer in kept.layer if layer.blobs] == ['fc']


def test_directions_keep_their_cosines_in_more_dimensions_and_nearly_in_fewer():
    flat = np.random.default_rng(2).standard_normal((20, 3)) @ np.eye(3, 7) + 0.01 * np.eye(20, 7)
    known = unit(flat)
    for length, error in ((7, 1e-5), (12, 1e-5), (3, 0.02)):
        found = spread(known, length)
        assert found.shape == (20, length) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        assert np.abs(found @ found.T - known @ known.T).max() < error


def test_a_net_without_labels_or_without_the_embedding_is_refused(directions):
    with pytest.raises(SlimError, match='no data layer with labels'):
        taught_net(parse_net(DEPLOY), parse_net(DEPLOY), directions)
    other = parse_net(DEPLOY.replace('top: "fc"', 'top: "other"'))
    with pytest.raises(SlimError, match="no blob 'other'"):
        taught_net(parse_net(TRAIN), other, directions)
