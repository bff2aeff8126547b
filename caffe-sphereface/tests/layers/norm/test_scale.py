"""Scale and Bias, against numpy."""

import numpy as np
import pytest

import caffe
from layer_case import by_name, layer, make_net


def test_scale_and_bias_default_to_one_and_zero():
    net = make_net(
        layer('Scale', 'x', 'y', 'scale_param { bias_term: true }') + by_name(layer('Bias', 'y', 'z'), 'b'),
        {'x': (2, 3, 4)},
    )
    net.forward()
    np.testing.assert_array_equal(net.blobs['z'].data, net.blobs['x'].data)
    assert [b.shape for b in net.params['layer']] == [(3,), (3,)]


@pytest.mark.parametrize(
    'text, shape',
    [('axis: 0 num_axes: 2', (2, 3)), ('axis: 1 num_axes: -1', (3, 4)), ('num_axes: 0', ()), ('axis: -1', (4,))],
)
def test_scale_shapes(text, shape):
    net = make_net(layer('Scale', extra=f'scale_param {{ {text} filler {{ type: "gaussian" }} }}'), {'x': (2, 3, 4)})
    net.forward()
    scale = net.params['layer'][0].data
    assert scale.shape == shape
    axis = {(2, 3): 0, (3, 4): 1, (): 0, (4,): 2}[shape]
    np.testing.assert_allclose(
        net.blobs['y'].data, net.blobs['x'].data * scale.reshape(*shape, *[1] * (3 - axis - len(shape))), rtol=1e-6
    )


def test_learned_factors_are_limited_in_their_blob():
    text = layer('Scale', extra='scale_param { num_axes: 0 min_value: 2 max_value: 5 filler { value: 1 } }')
    net = make_net(text, {'x': (2, 3)})
    for stored, used in ((1, 2), (3, 3), (9, 5)):
        net.params['layer'][0].data[...] = stored
        net.forward()
        assert net.params['layer'][0].data == used
        np.testing.assert_allclose(net.blobs['y'].data, used * net.blobs['x'].data)


def test_limits_of_factors_from_a_bottom_are_refused():
    text = layer('Scale', 'x s', extra='scale_param { axis: 0 min_value: 2 }')
    with pytest.raises(caffe.CaffeError, match='expected them for learned factors'):
        make_net(text, {'x': (2, 3), 's': (2, 3)})
