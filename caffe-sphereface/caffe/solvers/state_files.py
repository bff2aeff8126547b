"""Solver states: iteration, rate step, history and the weights they belong to, as binary or HDF5 files."""

import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch

from caffe.errors import CaffeError
from caffe.proto import wire
from caffe.proto.files import write_bytes
from caffe.proto.hdf5_file import is_hdf5, open_hdf5, read_array, read_number, whole_hdf5
from caffe.solvers.policy import Plateau
from caffe.solvers.update import Updater


def write_state(
    path: str | Path,
    iteration: int,
    step: int,
    learned_net: str | Path,
    history: Sequence[torch.Tensor],
    plateau: Plateau | None = None,
) -> None:
    """Write a .solverstate, whole or not at all; HDF5 when the name ends in .h5.

    `plateau` is the policy.Plateau of a solver with lr_policy plateau.
    """
    arrays = [h.cpu().numpy() for h in history]
    if str(path).endswith('.h5'):
        _write_hdf5(path, iteration, step, learned_net, arrays, plateau)
        return
    state = wire.raw_class('SolverState')(iter=iteration, learned_net=str(learned_net), current_step=step)
    if plateau:
        state.minimum_loss, state.iter_last_event = plateau.minimum_loss, plateau.last_event
    for array in arrays:
        wire.fill_blob(state.history.add(), array)
    write_bytes(path, state.SerializeToString())


def _write_hdf5(
    path: str | Path,
    iteration: int,
    step: int,
    learned_net: str | Path,
    arrays: Sequence[np.ndarray],
    plateau: Plateau | None,
) -> None:
    with whole_hdf5(path) as file:
        file['iter'], file['current_step'] = np.array([iteration], 'i4'), np.array([step], 'i4')
        if plateau:
            file['minimum_loss'] = np.array([plateau.minimum_loss], 'f4')
            file['iter_last_event'] = np.array([plateau.last_event], 'i4')
        # genuine Caffe reads text of a fixed length that ends in a zero byte
        name = str(learned_net).encode()
        file['learned_net'] = np.array(name, f'S{len(name) + 1}')
        for i, array in enumerate(arrays):
            file[f'history/{i}'] = array


def read_state(path: str | Path) -> tuple[int, int, str, list[np.ndarray], Plateau]:
    """(iteration, rate step, learned_net path or '', history arrays, Plateau) of a .solverstate, told by content."""
    if is_hdf5(path):
        return _read_hdf5(path)
    state = wire.parse_raw(path, 'SolverState')
    if not state.HasField('iter'):
        raise CaffeError(f'{path}: has no iteration, expected a .solverstate')
    history = [wire.blob_array(blob, f'{path}: history {i}') for i, blob in enumerate(state.history)]
    # a path need not be UTF-8 text
    plateau = Plateau(state.minimum_loss, state.iter_last_event)
    return state.iter, state.current_step, os.fsdecode(state.learned_net), history, plateau


def _read_hdf5(path: str | Path) -> tuple[int, int, str, list[np.ndarray], Plateau]:
    with open_hdf5(path) as file:
        learned = file['learned_net'][()] if 'learned_net' in file else b''
        history = [read_array(file, f'history/{i}', path) for i in range(len(file.get('history', ())))]
        iteration, step = (read_number(file, name, path) for name in ('iter', 'current_step'))
        return iteration, step, _text(learned), history, _read_plateau(file, path)


def _read_plateau(file: h5py.File, path: str | Path) -> Plateau:
    if 'minimum_loss' not in file:
        return Plateau()
    loss = read_array(file, 'minimum_loss', f"{path}: dataset 'minimum_loss'", (1,))
    return Plateau(float(loss[0]), read_number(file, 'iter_last_event', path))


def _text(value: object) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


def find_weights(learned_net: str | Path, state_path: str | Path) -> Path:
    """Where the weights of a state lie: as written, or beside the state file when it was moved."""
    for candidate in (Path(learned_net), Path(state_path).parent / Path(learned_net).name):
        if candidate.is_file():
            return candidate
    raise CaffeError(f'{state_path}: its weights {learned_net} are neither there nor beside it')


def restore_history(updater: Updater, arrays: Sequence[np.ndarray], path: str | Path) -> None:
    """Put saved history arrays into an Updater; CaffeError where number or shapes differ from the net's."""
    if len(arrays) != len(updater.history):
        raise CaffeError(f'{path}: holds {len(arrays)} history blobs, the solver expects {len(updater.history)}')
    for i, (array, mine) in enumerate(zip(arrays, updater.history)):
        if array.size != mine.numel():
            raise CaffeError(f'{path}: history {i} has shape {array.shape}, the solver expects {tuple(mine.shape)}')
    updater.history = [torch.from_numpy(a.reshape(h.shape).copy()) for a, h in zip(arrays, updater.history)]
