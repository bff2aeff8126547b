"""Nets whose blobs are each made by one layer."""

import numpy as np
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import parse_net
from sphereslim.rewrite.fold_check import output_difference
from sphereslim.rewrite.out_of_place import out_of_place

NET = """
layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "half" type: "Power" bottom: "x" top: "x" power_param { scale: 0.5 } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
        convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
layer { name: "square" type: "Power" bottom: "y" top: "y" power_param { power: 2 } }
layer { name: "mean" type: "Pooling" bottom: "y" top: "z" pooling_param { pool: AVE global_pooling: true } }
layer { name: "tanh" type: "TanH" bottom: "z" top: "z" }
"""


def test_every_blob_has_one_maker_and_inputs_and_outputs_keep_their_names():
    net = parse_net(NET)
    other = out_of_place(net)
    tops = [top for layer in other.layer for top in layer.top]
    assert tops == ['x', 'x/half', 'y/conv', 'y/relu', 'y', 'z/mean', 'z']
    weights = weights_of(open_net(net))
    assert output_difference((net, weights), (other, weights)) == {'z': 0}
    assert [list(layer.bottom) for layer in other.layer[1:]] == [[top] for top in tops[:-1]]
    assert out_of_place(other) == other and np.all([layer.top[0] in 'xyz' for layer in net.layer])
