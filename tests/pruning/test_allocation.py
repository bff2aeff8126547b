"""Spending a budget over groups: fitted losses, counts in multiples, against the cost counted by hand."""

import numpy as np
import pytest
from sphereslim.channels.groups import Groups
from sphereslim.net.prototxt import parse_net
from sphereslim.pruning.allocation import Curve, allocate_channels, curves
from sphereslim.pruning.model import Model
from sphereslim.pruning.sensitivity import Row

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 4, 4] } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 10 kernel_size: 1
        bias_term: false } }
layer { name: "fc" type: "InnerProduct" bottom: "a" top: "fc" inner_product_param { num_output: 2 bias_term: false } }
"""


@pytest.mark.parametrize('power, fitted', [(2, 2), (0.5, 1), (9, 6)])
def test_no_channel_costs_less_than_the_one_before(power, fitted):
    shares = (0.2, 0.5)
    rows = [
        Row('', 1, 0, 0, 1000, 1000, 0.0),
        *(Row('a', 1 - p, 10, 10 - round(10 * p), 1000 - round(1000 * p), 0, 3 * p**power) for p in shares),
    ]
    curve = curves(rows)['a']
    assert curve.b == pytest.approx(fitted) and curve.most == 5 and curve.saved == 100
    assert np.all(np.diff(curve.prices()) > -1e-12)


@pytest.mark.parametrize('multiple, kept', [(1, 6), (4, 4)])
def test_counts_are_the_largest_within_the_budget_that_are_multiples(multiple, kept):
    """A channel of 'a' has 3 weights and is read by 2 x 16 of 'fc': 35 parameters."""
    net = parse_net(NET)
    found = {'a': Curve(10, 8, 35.0, 1.0, 1.0)}
    assert allocate_channels(Model(net, None, Groups(net)), found, 6 * 35 + 10, 'parameters', multiple) == {'a': kept}
