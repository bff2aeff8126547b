"""Every layer against the numbers of a genuine Caffe or of a fork's code, where the shared folder with them exists.

On the CPU and in GPU mode.
"""

import json

import numpy as np
import pytest
from repository import SHARED

import caffe
from gpu_mode import gpu_mode

FOLDERS = [SHARED / 'goldens' / name for name in ('layers', 'fork-layers')]
CASES = [path.with_suffix('') for folder in FOLDERS for path in sorted(folder.glob('*.npz'))]
TOLERANCE = 2e-4
# gradients that are 0 but for rounding, of a bias before a batch's mean is taken away: {case: keys}. The golden's noise
# is that of OpenBLAS's kernels for AVX2 and later, which the CPU takes for blobs as small as these; a GPU has its own.
CANCELLED = {'bn_psp_inplace': {'c/1'}}


def assert_close(got, want, what):
    """Equal up to TOLERANCE of the largest value wanted."""
    assert got.size == want.size, f'{what}: shape {got.shape}, expected {want.shape}'
    assert np.isfinite(got).all(), f'{what} is not finite'
    if want.size:
        error = np.abs(got.reshape(want.shape).astype('d') - want).max() / max(np.abs(want).max(), 1e-3)
        assert error <= TOLERANCE, f'{what} is off by {error:.2g}'


def entries(golden, step, kind):
    """{rest of the key: array} of the golden's entries 'step/kind/…'."""
    head = f'{step}/{kind}/'
    return {key[len(head) :]: golden[key] for key in golden if key.startswith(head)}


def param_of(net, key):
    """The parameter blob 'layer/index'."""
    name, index = key.rsplit('/', 1)
    return net.params[name][int(index)]


def run_step(net, golden, step, cancelled=()):
    """One forward and, where the golden has diffs, one backward; every recorded array must agree."""
    for name, array in entries(golden, step, 'in').items():
        net.blobs[name].data[...] = array
    net.forward()
    for name, array in entries(golden, step, 'out').items():
        assert_close(net.blobs[name].data, array, f'top {name} at step {step}')
    diffs, param_diffs = entries(golden, step, 'diff'), entries(golden, step, 'pdiff')
    if diffs or param_diffs:
        net.clear_param_diffs()
        top_diffs = entries(golden, step, 'topdiff')
        for name in net.outputs:
            if name != 'loss':
                net.blobs[name].diff[...] = top_diffs.get(name, 0)
        net.backward()
        for name, array in diffs.items():
            assert_close(net.blobs[name].diff, array, f'diff of {name} at step {step}')
        for key, array in param_diffs.items():
            if key in cancelled:
                assert max(np.abs(array).max(), np.abs(param_of(net, key).diff).max()) < 1e-5
                continue
            assert_close(param_of(net, key).diff, array, f'parameter diff {key} at step {step}')
    for key, array in entries(golden, step, 'after').items():
        assert_close(param_of(net, key).data, array, f'parameter {key} after step {step}')


def check(case, cancelled=()):
    golden = dict(np.load(f'{case}.npz'))
    meta = json.loads(bytes(golden['meta']).decode())
    net = caffe.Net(f'{case}.prototxt', getattr(caffe, meta['phase']))
    for key, array in golden.items():
        if key.startswith('param/'):
            param_of(net, key[len('param/') :]).data[...] = array
    assert list(net.outputs) == meta['outputs']
    for step in range(meta['steps']):
        run_step(net, golden, step, cancelled)


needs_goldens = pytest.mark.skipif(
    not CASES, reason=f'no goldens in {SHARED} (set SHARED to the folder that holds them)'
)


@needs_goldens
@pytest.mark.parametrize('case', CASES, ids=lambda case: f'{case.parent.name}-{case.name}')
def test_layer_gives_the_numbers_of_a_genuine_caffe(case):
    check(case)


@needs_goldens
@pytest.mark.parametrize('case', CASES, ids=lambda case: f'{case.parent.name}-{case.name}')
def test_layer_gives_the_numbers_of_a_genuine_caffe_in_gpu_mode(case):
    with gpu_mode():
        check(case, CANCELLED.get(case.name, ()))
