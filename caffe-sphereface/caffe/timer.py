"""Timer: how long something took, work queued on the GPU included."""

import time

import torch

from caffe import device


class Timer:
    """`start()`, `stop()`, then `ms`."""

    def __init__(self):
        self._begin = None
        self._elapsed = 0.0

    def start(self):
        """Begin to measure."""
        self._begin = now()

    def stop(self):
        """End the measurement."""
        if self._begin is not None:
            self._elapsed, self._begin = now() - self._begin, None

    @property
    def ms(self):
        """Milliseconds between the last start and stop; while running, until this moment, which stops it."""
        self.stop()
        return 1000 * self._elapsed


def now():
    """Seconds of a steady clock, read once the work queued on a GPU is done."""
    if device.device().type == 'cuda':
        torch.cuda.synchronize(device.device())
    return time.perf_counter()
