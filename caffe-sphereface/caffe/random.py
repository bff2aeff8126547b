"""Random numbers: one seeded generator per device for tensors, one numpy generator for the order of data."""

import numpy as np
import torch

from caffe.process_state import state


def set_seed(seed: int) -> None:
    """Seed everything that layers, fillers and data draw from (the solver's `random_seed`)."""
    state.random.seed, state.random.offset = int(seed), 0
    state.random.of_data = np.random.default_rng(int(seed) % 2**63)
    state.random.of_tensors.clear()


def generator(device: torch.device | str = 'cpu') -> torch.Generator:
    """The torch.Generator of a device, made on first use."""
    device = torch.device(device)
    if device not in state.random.of_tensors:
        state.random.of_tensors[device] = _new_generator(device)
    return state.random.of_tensors[device]


def _new_generator(device: torch.device) -> torch.Generator:
    made, seed = torch.Generator(device), state.random.seed
    if seed is None:
        made.seed()
    else:
        made.manual_seed((seed + state.random.offset) % 2**63)
    return made


def renew(device: torch.device, values: torch.Tensor) -> None:
    """Replace a device's Generator by a new one in the state `values`."""
    made = torch.Generator(device)
    made.set_state(values)
    state.random.of_tensors[device] = made


def numpy_generator() -> np.random.Generator:
    """The numpy Generator that shuffles lists and draws crops and mirrors."""
    return state.random.of_data


def diverge(rank: int) -> None:
    """Draw other tensors than the processes of other ranks from here on, but still the same order of data."""
    state.random.of_tensors.clear()
    state.random.offset = rank
