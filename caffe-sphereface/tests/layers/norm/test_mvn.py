"""MVN."""

import numpy as np
import pytest

from layer_case import layer, make_net


@pytest.mark.parametrize('across, want', [('false', 0), ('true', [[-2, 0, 2], [-1, 1, 0]])])
def test_mvn_gives_four_axes_as_genuine_caffe_does(across, want):
    extra = f'mvn_param {{ across_channels: {across} normalize_variance: false }}'
    net = make_net(layer('MVN', extra=extra), {'x': (2, 3)})
    net.blobs['x'].data[...] = [[1, 3, 5], [1, 3, 2]]
    net.forward()
    assert net.blobs['y'].shape == (2, 3, 1, 1)
    np.testing.assert_allclose(net.blobs['y'].data[:, :, 0, 0], np.broadcast_to(want, (2, 3)), atol=1e-6)
