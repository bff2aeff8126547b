"""A net whose first output is a Softmax is compared by it, which is said."""

import pytest
from sphereslim.commands.arguments.compared import tell_softmax
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import parse_net

BODY = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 } } }
layer { name: "fc5" type: "InnerProduct" bottom: "data" top: "fc5" inner_product_param { num_output: 3 } }
"""
RELU = 'layer { name: "relu" type: "ReLU" bottom: "fc5" top: "fc5" }'
SOFTMAX = 'layer { name: "prob" type: "Softmax" bottom: "fc5" top: "PROB" }'
BESIDE = 'layer { name: "twice" type: "Power" bottom: "fc5" top: "A" }'


@pytest.mark.parametrize('layers, told', [(RELU, False), (RELU + SOFTMAX, True), (SOFTMAX + BESIDE, False)])
def test_the_first_output_is_told_where_it_is_a_softmax(layers, told, capsys):
    tell_softmax(parse_net(BODY + layers), 'take it out')
    said = capsys.readouterr().err
    expected = (
        "note: compared by 'PROB', the class probabilities of the Softmax 'prob', not by an embedding; take it out\n"
    )
    assert said == (expected if told else '')


def test_pycaffe_lists_the_same_output_first():
    assert open_net(parse_net(BODY + SOFTMAX + BESIDE)).outputs[0] == 'A'
