"""A net with new residual branches starts as the smaller net that it contains."""

import numpy as np
import pytest
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import parse_net
from sphereslim.net.weights import blob_array, weight_layers
from sphereslim.studies.grown import grown


def convolution(name, bottom, outputs=4):
    return f"""layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"
  convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu_{name}" type: "PReLU" bottom: "{name}" top: "{name}" }}
"""


def net(middle, last, outputs=4):
    """conv1, what `middle` says, and a layer on the blob `last`."""
    return parse_net(f"""name: "n"
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: 6 dim: 5 }} }} }}
{convolution('conv1', 'data', outputs)}{middle}
layer {{ name: "fc" type: "InnerProduct" bottom: "{last}" top: "fc"
  inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}""")


BRANCH = convolution('conv2', 'conv1') + convolution('conv3', 'conv2')
SUM = 'layer { name: "sum" type: "Eltwise" bottom: "conv1" bottom: "conv3" top: "sum" }'
SMALLER = net('', 'conv1')


@pytest.fixture
def weights():
    return weights_of(open_net(SMALLER))


def test_new_branches_add_nothing_at_first_and_their_first_layers_are_left_to_fillers(weights):
    larger = net(BRANCH + SUM, 'sum')
    begun = grown(larger, SMALLER, weights)
    assert set(weight_layers(begun)) == {'conv1', 'relu_conv1', 'conv3', 'fc'}
    assert not any(blob_array(blob).any() for blob in weight_layers(begun)['conv3'].blobs)
    picture, found = np.random.default_rng(1).normal(size=(1, 3, 6, 5)), []
    for opened in (open_net(SMALLER, weights), open_net(larger, begun)):
        opened.blobs['data'].data[...] = picture
        found.append(np.array(opened.forward()['fc']))
    assert np.array_equal(*found) and found[0].any()


@pytest.mark.parametrize(
    'larger',
    [
        net(BRANCH, 'conv3'),  # layers in the path itself
        net(BRANCH + SUM.replace('}', 'eltwise_param { operation: PROD } }'), 'sum'),
        net('', 'conv1', outputs=6),
        parse_net(str(SMALLER).replace('dim: 6', 'dim: 9')),
    ],
)
def test_a_net_that_does_not_contain_the_smaller_one_starts_as_nothing(weights, larger):
    assert grown(larger, SMALLER, weights) is None
