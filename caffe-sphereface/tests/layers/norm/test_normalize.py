"""Normalize and its norms, against PyTorch."""

import numpy as np

from layer_case import layer, make_net, run


def test_normalize_and_its_norms():
    for kind, order in (('L2', 2), ('L1', 1)):
        net = make_net(
            layer('Normalize', 'x', 'y n', f'normalize_param {{ normalize_type: "{kind}" }}'), {'x': (3, 4, 5, 2)}
        )
        net.forward()
        norm = np.linalg.norm(net.blobs['x'].data, order, 1, keepdims=True)
        assert net.blobs['n'].shape == (3, 1, 5, 2)
        np.testing.assert_allclose(net.blobs['n'].data, norm, rtol=1e-5)
        np.testing.assert_allclose(net.blobs['y'].data, net.blobs['x'].data / norm, rtol=1e-5)
    assert make_net(layer('Normalize', 'x', 'y n'), {'x': (3, 4)}).blobs['n'].shape == (3, 1, 1, 1)


def test_normalize_keeps_the_norm_in_the_gradient_whatever_fix_gradient_says():
    diffs = []
    for extra in ('', 'normalize_param { fix_gradient: true }'):
        net = make_net(layer('Normalize', extra=extra), {'x': (2, 3, 4, 5)})
        run(net)
        diffs.append(net.blobs['x'].diff)
    np.testing.assert_array_equal(*diffs)
