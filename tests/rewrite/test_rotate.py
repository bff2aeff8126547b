"""Rotated trunks: the net computes the same, and its first channels hold most of what the trunk holds."""

import numpy as np
import pytest
from masking import outputs, randomize
from sphereslim.channels.groups import Groups
from sphereslim.channels.surgery import prune
from sphereslim.errors import SlimError
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import parse_net
from sphereslim.rewrite.rotate import covariance, linear_trunks, principal_components, rotate
from sphereslim.sampling.sampler import Sampler

TRUNK = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [8, 2, 6, 6] } } }
layer { name: "first" type: "Convolution" bottom: "data" top: "first"
        convolution_param { num_output: 6 kernel_size: 3 pad: 1 } }
layer { name: "wide" type: "Convolution" bottom: "first" top: "wide"
        convolution_param { num_output: 9 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "wide" top: "wide" }
layer { name: "back" type: "Convolution" bottom: "wide" top: "back"
        convolution_param { num_output: 6 kernel_size: 1 bias_term: false } }
layer { name: "sum" type: "Eltwise" bottom: "first" bottom: "back" top: "sum" eltwise_param { coeff: [1, 0.5] } }
layer { name: "product" type: "InnerProduct" bottom: "sum" top: "product"
        inner_product_param { num_output: 5 transpose: TRANSPOSE } }
"""


def trunk_net(transposed=False):
    """(net, weights, groups, a batch) of a trunk of six channels with one residual block."""
    proto = parse_net(TRUNK.replace('TRANSPOSE', str(transposed).lower()))
    opened, rng = open_net(proto), np.random.default_rng(0)
    randomize(opened, rng)
    return proto, weights_of(opened), Groups(proto), {'data': rng.normal(0, 1, (8, 2, 6, 6)).astype('f')}


@pytest.mark.parametrize('transposed', [False, True])
def test_a_rotated_net_computes_the_same(transposed):
    net, weights, groups, batch = trunk_net(transposed)
    (trunk,) = linear_trunks(groups)
    assert (trunk.name, trunk.size) == ('first', 6)
    basis = np.linalg.qr(np.random.default_rng(1).normal(0, 1, (6, 6)))[0]
    rotated = rotate(net, weights, groups, trunk, basis)
    before, after = (outputs(open_net(net, held), batch)['product'] for held in (weights, rotated))
    np.testing.assert_allclose(after, before, atol=1e-5 * np.abs(before).max())
    was, turned = (outputs_of('sum', net, held, batch) for held in (weights, rotated))
    np.testing.assert_allclose(turned, np.einsum('nchw,cd->ndhw', was, basis), atol=1e-5 * np.abs(was).max())


def outputs_of(blob, net, weights, batch):
    opened = open_net(net, weights)
    outputs(opened, batch)
    return np.array(opened.blobs[blob].data)


def test_principal_components_come_in_the_order_of_their_variance():
    net, weights, groups, batch = trunk_net()
    (trunk,) = linear_trunks(groups)
    basis = principal_components(covariance(groups, trunk, Sampler(open_net(net, weights), [batch])))
    turned = covariance(groups, trunk, Sampler(open_net(net, rotate(net, weights, groups, trunk, basis)), [batch]))
    variances = np.diag(turned)
    assert (np.diff(variances) < 0).all()
    np.testing.assert_allclose(turned, np.diag(variances), atol=1e-4 * variances[0])


def test_a_trunk_that_holds_less_than_it_could_loses_channels_for_nothing():
    net, weights, groups, batch = trunk_net()
    (trunk,) = linear_trunks(groups)
    opened, narrow = open_net(net, weights), np.random.default_rng(2).normal(0, 1, (6, 4))
    for name in ('first', 'back'):  # all they give lies in the same four dimensions
        blob = opened.params[name][0].data
        blob[...] = np.einsum('od,dikl->oikl', narrow, blob[:4])
    opened.params['first'][1].data[...] = 0
    weights = weights_of(opened)
    basis = principal_components(covariance(groups, trunk, Sampler(opened, [batch])))
    rotated = rotate(net, weights, groups, trunk, basis)
    (small,), cut = prune([net], rotated, {trunk.name: range(4)}, groups)
    before, after = outputs(open_net(net, weights), batch), outputs(open_net(small, cut), batch)
    np.testing.assert_allclose(after['product'], before['product'], atol=1e-4 * np.abs(before['product']).max())


NORM = 'layer { name: "norm" type: "BatchNorm" bottom: "back" top: "back" }'
NEURON = 'layer { name: "neuron" type: "ReLU" bottom: "sum" top: "sum" }'


@pytest.mark.parametrize('what, behind', [(NORM, 'layer { name: "sum"'), (NEURON, 'layer { name: "product"')])
def test_a_trunk_with_a_norm_or_a_neuron_in_it_is_not_linear(what, behind):
    groups = Groups(parse_net(TRUNK.replace('TRANSPOSE', 'false').replace(behind, f'{what}\n{behind}')))
    assert linear_trunks(groups) == []
    net, weights, *_ = trunk_net()
    with pytest.raises(SlimError, match="group 'first' .* expected a linear trunk"):
        rotate(net, weights, groups, groups.of('first'), np.eye(6))
