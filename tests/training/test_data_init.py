"""First weights fitted to pictures."""

import numpy as np
import pytest
from sphereslim.engine import caffe
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import parse_net
from sphereslim.training.data_init import fit_start

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [16, 3, 9, 8] } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 6 kernel_size: 3
        weight_filler { type: "gaussian" std: 3 } bias_filler { type: "constant" value: 5 } } }
layer { name: "a_relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "bare" type: "Convolution" bottom: "a" top: "bare" convolution_param { num_output: 4 kernel_size: 1
        bias_term: false weight_filler { type: "msra" } } }
layer { name: "b" type: "Convolution" bottom: "bare" top: "b" convolution_param { num_output: 5 kernel_size: 3
        weight_filler { type: "msra" } } }
layer { name: "fc" type: "InnerProduct" bottom: "b" top: "fc" inner_product_param { num_output: 2 } }
"""


@pytest.fixture
def net():
    caffe.set_random_seed(1)
    opened = open_net(parse_net(NET))
    opened.blobs['data'].data[...] = np.random.default_rng(0).normal(40, 9, opened.blobs['data'].data.shape)
    return opened


def test_every_filter_with_a_bias_answers_with_mean_0_and_variance_1(net):
    bare = np.array(net.params['bare'][0].data)
    fit_start(net)
    for index, name in enumerate(net._layer_names):
        net._forward(index, index)
        if name in ('a', 'b'):
            answers = net.blobs[name].data
            np.testing.assert_allclose(answers.mean(axis=(0, 2, 3)), 0, atol=1e-4)
            np.testing.assert_allclose(answers.std(axis=(0, 2, 3)), 1, atol=1e-4)
    np.testing.assert_array_equal(net.params['bare'][0].data, bare)


def test_a_filter_that_answers_to_everything_alike_stays_finite(net):
    net.params['a'][0].data[0] = 0
    fit_start(net)
    assert all(np.isfinite(blob.data).all() for blobs in net.params.values() for blob in blobs)
    net.forward()
    np.testing.assert_allclose(net.blobs['a'].data[:, 0], 0, atol=1e-4)
