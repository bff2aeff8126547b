"""Numeric gradient check of layers: central differences of Σ diff · top in float64 against backward."""

import contextlib

import numpy as np
import torch

import caffe
from layer_case import make_net


@contextlib.contextmanager
def float64():
    """Blobs made inside hold float64, so that differences are exact to many digits."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def check_gradient(
    layers,
    shapes,
    *,
    values=None,
    skip=(),
    phase=caffe.TEST,
    step=1e-5,
    tolerance=1e-6,
    kinks=(),
    kink_range=1e-3,
    most=60,
    seed=1,
    force_backward=True,
):
    """Hold the diffs of all inputs and parameters of a small net against numeric ones.

    `layers` is prototxt text, `shapes` {input name: shape}, `values` {input name: array} replaces random inputs.
    `skip` names inputs without a gradient, and layers whose parameters have none. Elements within `kink_range` of a
    value in `kinks` are left out. At most `most` elements of each blob are tried. Errors are relative to the larger
    of 1 and the gradient. Without `force_backward` the layers say by `propagate_down` and `loss_weight` what they need.
    """
    with float64():
        net = make_net(layers, shapes, phase, seed, force_backward)
        for name, array in (values or {}).items():
            net.blobs[name].data[...] = array
        checked = {name: net.blobs[name] for name in shapes if name not in skip}
        for name, blobs in net.params.items():
            if name not in skip:
                checked.update((f'{name}[{i}]', blob) for i, blob in enumerate(blobs))
        diffs = _analytic(net, checked, seed)
        for name, blob in checked.items():
            _compare(net, name, blob, diffs, step, tolerance, kinks, kink_range, most)


def _objective(net, weights, seed):
    caffe.set_random_seed(seed)
    net.forward()
    return sum(float((net.blobs[name].data * weight).sum()) for name, weight in weights.items())


def _analytic(net, checked, seed):
    random = np.random.default_rng(seed)
    _objective(net, {}, seed)
    weights = {name: random.uniform(0.5, 1.5, net.blobs[name].shape) for name in net.outputs}
    net.clear_param_diffs()
    for name, weight in weights.items():
        net.blobs[name].diff[...] = weight
    net.backward()
    return {'weights': weights, 'seed': seed, **{name: blob.diff.copy() for name, blob in checked.items()}}


def _compare(net, name, blob, diffs, step, tolerance, kinks, kink_range, most):
    order = np.random.default_rng(0).permutation(blob.count)[:most]
    for i in order:
        flat = blob.data.reshape(-1)
        start = flat[i]
        if any(abs(start - kink) < kink_range for kink in kinks):
            continue
        flat[i] = start + step
        high = _objective(net, diffs['weights'], diffs['seed'])
        blob.data.reshape(-1)[i] = start - step
        low = _objective(net, diffs['weights'], diffs['seed'])
        blob.data.reshape(-1)[i] = start
        numeric, analytic = (high - low) / (2 * step), diffs[name].reshape(-1)[i]
        error = abs(numeric - analytic) / max(1, abs(numeric), abs(analytic))
        assert error < tolerance, f'{name}, element {i} (value {start:g}): numeric {numeric:g}, backward {analytic:g}'
