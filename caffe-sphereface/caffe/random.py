"""Random numbers: one seeded generator a device for tensors, one numpy generator for the order of data."""

import numpy as np
import torch

_tensor_generators = {}
_state = {'seed': None, 'offset': 0, 'numpy': np.random.default_rng()}


def set_seed(seed):
    """Seed everything that layers, fillers and data draw from (the solver's `random_seed`)."""
    _state.update(seed=int(seed), offset=0)
    _state['numpy'] = np.random.default_rng(int(seed) % 2**63)
    _tensor_generators.clear()


def generator(device='cpu'):
    """The torch.Generator of a device, made on first use."""
    device = torch.device(device)
    if device not in _tensor_generators:
        made = torch.Generator(device)
        made.manual_seed((_state['seed'] + _state['offset']) % 2**63) if _state['seed'] is not None else made.seed()
        _tensor_generators[device] = made
    return _tensor_generators[device]


def numpy_generator():
    """The numpy Generator that shuffles lists and draws crops and mirrors."""
    return _state['numpy']


def diverge(rank):
    """Draw other tensors than the processes of other ranks from now on, but still the same order of data."""
    _tensor_generators.clear()
    _state['offset'] = rank
