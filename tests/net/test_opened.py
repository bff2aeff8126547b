"""Opened nets: backward where a net has layers without a gradient."""

import numpy as np
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import parse_net

NET = """
layer { name: "in" type: "Input" top: "x" top: "l" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"
        inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "l" top: "loss" }
layer { name: "right" type: "Accuracy" bottom: "y" bottom: "l" top: "right" }
layer { name: "best" type: "ArgMax" bottom: "y" top: "best" }"""


def test_layers_that_only_measure_do_not_stand_in_the_way_of_backward():
    parsed = parse_net(NET)
    net = open_net(parsed, backward=True)
    net.blobs['x'].data[...] = np.arange(6).reshape(2, 3)
    net.forward()
    net.backward()
    assert net.blobs['x'].diff.any()
    assert 'right' not in net.blobs and len(parsed.layer) == 5
