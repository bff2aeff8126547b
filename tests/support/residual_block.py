"""A small net with one residual block, and Models of nets with random weights."""

import numpy as np
from masking import randomize
from sphereslim.channels.groups import Groups
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import parse_net
from sphereslim.pruning.model import Model

BLOCK = """
layer { name: "wide" type: "Convolution" bottom: "first" top: "wide"
        convolution_param { num_output: 16 kernel_size: 1 } }
layer { name: "slope" type: "PReLU" bottom: "wide" top: "wide" }
layer { name: "each" type: "Convolution" bottom: "wide" top: "each"
        convolution_param { num_output: 16 group: 16 kernel_size: 3 pad: 1 } }
layer { name: "slope2" type: "PReLU" bottom: "each" top: "each" }
layer { name: "back" type: "Convolution" bottom: "each" top: "back"
        convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "sum" type: "Eltwise" bottom: "first" bottom: "back" top: "sum" }
"""
NET = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: [1, 3, 8, 8] }} }} }}
layer {{ name: "first" type: "Convolution" bottom: "data" top: "first"
        convolution_param {{ num_output: 8 kernel_size: 3 pad: 1 }} }}
{BLOCK}
layer {{ name: "out" type: "InnerProduct" bottom: "sum" top: "out" inner_product_param {{ num_output: 6 }} }}
"""


def model_of(text):
    """A Model of a prototxt with random weights."""
    net = parse_net(text)
    opened = open_net(net)
    randomize(opened, np.random.default_rng(0))
    return Model(net, weights_of(opened), Groups(net))
