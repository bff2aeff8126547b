"""Rotation as a Python layer, and unit features, in nets that run."""

import numpy as np
import pytest
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.layers.rotation import rotated
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import parse_net
from sphereslim.rewrite.recipe import classifier_input, with_rotation, with_unit_feature

NET = parse_net("""
name: "net"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 17 dim: 17 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 17 weight_filler { type: "msra" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
""")


def _run(net, phase):
    caffe.set_random_seed(1)
    opened = open_net(net, phase=phase)
    bottom = opened.inputs[0]
    y, x = np.mgrid[:17, :17]
    opened.blobs[bottom].data[...] = (x + 2 * y)[None, None] / 10
    opened.forward()
    return opened


def test_pictures_turn_by_angles_of_their_own_in_training_only():
    net = with_rotation(NET, 20, seed=5)
    trained = _run(net, caffe.TRAIN)
    before, after = trained.blobs['data_upright'].data, trained.blobs['data'].data
    assert all(np.abs(a - b).max() > 0.01 for a, b in zip(after, before))
    assert len({a.tobytes() for a in after}) == 4
    first = after.copy()
    trained.forward()
    assert np.abs(trained.blobs['data'].data - first).max() > 0.01
    assert np.array_equal(_run(net, caffe.TRAIN).blobs['data'].data, first)
    tested = _run(net, caffe.TEST)
    assert np.array_equal(tested.blobs['data'].data, tested.blobs['data_upright'].data)


def test_quarter_turns_are_exact():
    picture = np.random.default_rng(0).normal(size=(3, 9, 9)).astype(np.float32)
    assert rotated(picture, 90) == pytest.approx(np.rot90(picture, axes=(1, 2)), abs=1e-5)
    assert np.array_equal(rotated(picture, 0), picture)


def test_borders_repeat_and_grey_pictures_stay_three_dimensional():
    picture = np.full((1, 9, 7), 3, np.float32)
    assert rotated(picture, 33) == pytest.approx(picture)


def test_a_plane_turns_as_geometry_says():
    y, x = (np.mgrid[:31, :31] - 15).astype(np.float32)
    angle = np.deg2rad(10)
    turned = rotated(x[None], 10)[0]
    expected = np.cos(angle) * x - np.sin(angle) * y
    middle = slice(8, 23)
    assert turned[middle, middle] == pytest.approx(expected[middle, middle], abs=0.05)


def test_features_have_unit_length_times_scale():
    assert classifier_input(NET, 'fc') == 'conv'
    opened = _run(with_unit_feature(NET, 'conv', 16), caffe.TEST)
    assert np.linalg.norm(opened.blobs['conv_scaled'].data.reshape(4, -1), axis=1) == pytest.approx(16, rel=1e-4)
    weights = opened.params['fc'][0].data
    scaled = opened.blobs['conv_scaled'].data.reshape(4, -1)
    assert opened.blobs['fc'].data == pytest.approx(scaled @ weights.T + opened.params['fc'][1].data, abs=1e-4)


def test_refusals():
    with pytest.raises(SlimError, match='rotation 0: expected above 0'):
        with_rotation(NET, 0)
    with pytest.raises(SlimError, match="no blob 'pool' to normalise"):
        with_unit_feature(NET, 'pool', 16)
    broken = with_rotation(NET, 5)
    broken.layer[1].python_param.param_str = 'ten'
    with pytest.raises(Exception, match='param_str'):
        open_net(broken)
