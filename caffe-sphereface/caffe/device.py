"""Where nets run, and how: one device for the whole process, as in Caffe; and how long its work takes."""

import os
import time

import torch

from caffe import precision
from caffe.errors import CaffeError
from caffe.process_state import CPU, state


def device() -> torch.device:
    """The torch.device that layers compute on. CaffeError in a forked child of a process whose nets run on a GPU."""
    if state.device is None:
        raise state.lost_gpu()
    return state.device


def set_mode_cpu() -> None:
    """Run every net on the CPU."""
    state.device = CPU


def check_gpu(index: int) -> None:
    """CaffeError where PyTorch does not see the GPU of that number, which is not touched."""
    if not state.gpu_works:
        raise state.lost_gpu()
    if not torch.cuda.is_available():
        raise CaffeError('GPU mode: PyTorch sees no CUDA device, expected at least one')
    if not 0 <= index < torch.cuda.device_count():
        raise CaffeError(f'GPU mode: no device {index}, this machine has {torch.cuda.device_count()}')


def set_mode_gpu() -> None:
    """Run every net on the GPU chosen by `set_device`, in full float32 precision unless `set_precision` says otherwise.

    Raises CaffeError where PyTorch does not see it.
    """
    check_gpu(state.gpu)
    precision.set_hardware()
    torch.cuda.set_device(state.gpu)
    state.device = torch.device('cuda', state.gpu)


def set_device(index: int) -> None:
    """Choose the GPU by number; it is used from the next `set_mode_gpu`, or at once in GPU mode."""
    state.gpu = int(index)
    if device().type == 'cuda':
        set_mode_gpu()


def set_cuda_graphs(wanted: bool | None) -> None:
    """Whether nets on a GPU replay their passes as CUDA graphs where they can; None leaves it to CAFFE_CUDA_GRAPHS.

    That holds for the whole process: for whole passes of nets in the TEST phase and for the iterations of solvers.
    """
    state.cuda_graphs = wanted


def cuda_graphs() -> bool:
    """Whether CUDA graphs are wanted: as `set_cuda_graphs` has it, or else the variable CAFFE_CUDA_GRAPHS (0, 1; 0)."""
    if state.cuda_graphs is None:
        stated = os.environ.get('CAFFE_CUDA_GRAPHS', '0')
        if stated not in ('0', '1'):
            raise CaffeError(f"CAFFE_CUDA_GRAPHS='{stated}': expected 0 or 1")
        state.cuda_graphs = stated == '1'
    return state.cuda_graphs


class Timer:
    """`start()`, `stop()`, then `ms`: how long something took, work queued on the GPU included."""

    def __init__(self) -> None:
        self._begin: float | None = None
        self._elapsed = 0.0

    def start(self) -> None:
        """Begin to measure."""
        self._begin = now()

    def stop(self) -> None:
        """End the measurement."""
        if self._begin is not None:
            self._elapsed, self._begin = now() - self._begin, None

    @property
    def ms(self) -> float:
        """Milliseconds between the last start and stop; while running, until this moment, which stops it."""
        self.stop()
        return 1000 * self._elapsed


def now() -> float:
    """Seconds of a steady clock, read once the work queued on a GPU is done."""
    if device().type == 'cuda':
        torch.cuda.synchronize(device())
    return time.perf_counter()
