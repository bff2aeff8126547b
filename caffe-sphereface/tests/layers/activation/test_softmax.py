"""Softmax, against PyTorch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from layer_case import layer, make_net


@pytest.mark.parametrize('axis', [0, 1, -1])
def test_softmax(axis):
    net = make_net(layer('Softmax', extra=f'softmax_param {{ axis: {axis} }}'), {'x': (3, 4, 5)})
    net.forward()
    np.testing.assert_allclose(net.blobs['y'].data, F.softmax(torch.tensor(net.blobs['x'].data), axis), rtol=1e-5)
