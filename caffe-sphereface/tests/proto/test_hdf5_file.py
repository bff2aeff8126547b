"""Damaged HDF5 files, and states that genuine Caffe can read."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from repository import SHARED

from caffe.errors import CaffeError
from caffe.proto.hdf5_file import open_hdf5, read_array, read_number
from caffe.solvers.state_files import read_state, write_state

STATE = SHARED / 'goldens' / 'files' / 'mlp_iter_4.solverstate.h5'


@pytest.fixture
def path(tmp_path):
    made = tmp_path / 'x.h5'
    with h5py.File(made, 'w') as file:
        file['x'], file['n'], file['words'] = np.arange(6.0).reshape(2, 3), np.array([7], 'i4'), 'text'
        file.create_dataset('packed', data=np.ones(1000), compression=9)
        file.create_dataset('claim', shape=(10**9, 1000), chunks=(1, 1000), dtype='f4')
        file.create_group('group')
    return str(made)


def test_numbers_are_read_as_float32(path):
    with open_hdf5(path) as file:
        assert read_array(file, 'x', path, (2, 3)).dtype == np.float32
        assert read_array(file, 'packed', path).sum() == 1000 and read_number(file, 'n', path) == 7


@pytest.mark.parametrize(
    'name,shape,part',
    [
        ('claim', None, 'claims'),
        ('x', (3, 2), 'expects'),
        ('no', None, 'no data'),
        ('words', None, 'no data'),
        ('group', None, 'no data'),
    ],
)
def test_what_is_no_array_is_refused(path, name, shape, part):
    with open_hdf5(path) as file, pytest.raises(CaffeError, match=part):
        read_array(file, name, path, shape)


@pytest.mark.parametrize('name', ['x', 'words', 'no', 'group'])
def test_what_is_no_number_is_refused(path, name):
    with open_hdf5(path) as file, pytest.raises(CaffeError, match='no whole number'):
        read_number(file, name, path)


def test_damage_is_one_clear_line(path):
    content = Path(path).read_bytes()
    generator = np.random.default_rng(0)
    failures = 0
    for _ in range(150):
        damaged = bytearray(content)
        for position in generator.integers(0, len(content), 4):
            damaged[position] = generator.integers(256)
        Path(path).write_bytes(damaged)
        try:
            with open_hdf5(path) as file:
                for name in ('x', 'packed'):
                    read_array(file, name, path)
        except CaffeError as error:
            failures += 1
            assert path in str(error) and '\n' not in str(error)
    assert failures


def test_states_look_like_those_of_genuine_caffe(tmp_path):
    if not STATE.exists():
        pytest.skip('shared goldens are absent')
    iteration, step, learned_net, history, _ = read_state(STATE)
    assert (iteration, step, learned_net, len(history)) == (4, 1, 'mlp_iter_4.caffemodel.h5', 6)
    write_state(tmp_path / 's.h5', iteration, step, learned_net, [torch.from_numpy(h) for h in history])
    with h5py.File(STATE) as genuine, h5py.File(tmp_path / 's.h5') as ours:
        for name in ('iter', 'current_step', 'learned_net', *(f'history/{i}' for i in range(6))):
            assert ours[name].shape == genuine[name].shape and ours[name].dtype == genuine[name].dtype
            assert np.array_equal(ours[name][()], genuine[name][()])
