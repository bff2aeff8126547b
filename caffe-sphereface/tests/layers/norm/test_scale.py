"""Scale and Bias, against numpy."""

import numpy as np
import pytest

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
