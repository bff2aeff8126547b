"""Where nets run: one device for the whole process, as in Caffe."""

import torch

from caffe import precision
from caffe.errors import CaffeError

_CPU = torch.device('cpu')
_state = {'device': _CPU, 'index': 0}


def device():
    """The torch.device that layers compute on."""
    return _state['device']


def set_mode_cpu():
    """Run every net on the CPU."""
    _state['device'] = _CPU


def check_gpu(index):
    """CaffeError where PyTorch does not see the GPU of that number, which is not touched."""
    if not torch.cuda.is_available():
        raise CaffeError('GPU mode: PyTorch sees no CUDA device, expected at least one')
    if not 0 <= index < torch.cuda.device_count():
        raise CaffeError(f'GPU mode: no device {index}, this machine has {torch.cuda.device_count()}')


def set_mode_gpu():
    """Run every net on the GPU chosen by `set_device`, in full float32 precision unless `set_precision` says otherwise.

    Raises CaffeError where PyTorch does not see it.
    """
    check_gpu(_state['index'])
    precision.set_hardware()
    torch.cuda.set_device(_state['index'])
    _state['device'] = torch.device('cuda', _state['index'])


def set_device(index):
    """Choose the GPU by number; it is used from the next `set_mode_gpu`, or at once in GPU mode."""
    _state['index'] = int(index)
    if _state['device'].type == 'cuda':
        set_mode_gpu()
