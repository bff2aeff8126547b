"""Every layer against the numbers of a genuine Caffe, where the shared folder with them exists, on CPU and GPU."""

import json

import numpy as np
import pytest
from repository import SHARED

import caffe
from gpu_mode import gpu_mode

FOLDER = SHARED / 'goldens' / 'layers'
CASES = sorted(path.stem for path in FOLDER.glob('*.npz'))
TOLERANCE = 2e-4


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


def run_step(net, golden, step):
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
            assert_close(param_of(net, key).diff, array, f'parameter diff {key} at step {step}')
    for key, array in entries(golden, step, 'after').items():
        assert_close(param_of(net, key).data, array, f'parameter {key} after step {step}')


def check(case):
    golden = dict(np.load(FOLDER / f'{case}.npz'))
    meta = json.loads(bytes(golden['meta']).decode())
    net = caffe.Net(str(FOLDER / f'{case}.prototxt'), getattr(caffe, meta['phase']))
    for key, array in golden.items():
        if key.startswith('param/'):
            param_of(net, key[len('param/') :]).data[...] = array
    assert list(net.outputs) == meta['outputs']
    for step in range(meta['steps']):
        run_step(net, golden, step)


needs_goldens = pytest.mark.skipif(
    not CASES, reason=f'no goldens in {FOLDER} (set SHARED to the folder that holds them)'
)


@needs_goldens
@pytest.mark.parametrize('case', CASES)
def test_layer_gives_the_numbers_of_a_genuine_caffe(case):
    check(case)


@needs_goldens
@pytest.mark.parametrize('case', CASES)
def test_layer_gives_the_numbers_of_a_genuine_caffe_in_gpu_mode(case):
    with gpu_mode():
        check(case)
