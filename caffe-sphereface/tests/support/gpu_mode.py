"""GPU mode for tests: on a real GPU where there is one, on the stand-in otherwise."""

import contextlib

import numpy as np
import torch

import caffe
from caffe.cuda_graphs.recording import Recording
from cuda_standin import cuda_standin


@contextlib.contextmanager
def gpu_mode():
    """Run nets on the GPU inside; yields the StandIn, or None where the GPU is a real one."""
    with contextlib.ExitStack() as stack:
        device = None if torch.cuda.is_available() else stack.enter_context(cuda_standin())
        stack.callback(caffe.set_mode_cpu)
        caffe.set_device(0)
        caffe.set_mode_gpu()
        yield device


@contextlib.contextmanager
def no_waiting(device, but=()):
    """Fail where the host waits for the GPU inside, `device` being what `gpu_mode` yielded.

    `but` names kinds of the stand-in's waits that may be; a real GPU does not tell of waits for its events anyway.
    """
    if device is None:
        torch.cuda.set_sync_debug_mode('error')
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode('default')
        return
    before = len(device.waits)
    yield
    waits = [wait for wait in device.waits[before:] if wait.kind not in but]
    assert not waits, sorted(set(waits))


def watch_replays(monkeypatch):
    """A list that grows with every replay of a CUDA graph."""
    seen, replay = [], Recording.replay
    monkeypatch.setattr(Recording, 'replay', lambda self: seen.append(self) or replay(self))
    return seen


def on_both(make):
    """The arrays {name: array} that `make()` gives on the CPU, and those on the GPU."""
    caffe.set_mode_cpu()
    on_cpu = make()
    with gpu_mode():
        return on_cpu, make()


def assert_same(on_cpu, on_gpu, tolerance=2e-4):
    """Arrays agree up to `tolerance` of each one's largest value: kernels sum in other orders."""
    assert on_cpu.keys() == on_gpu.keys()
    for name, want in on_cpu.items():
        limit = tolerance * max(np.abs(want).max(initial=0), 1e-3)
        np.testing.assert_allclose(on_gpu[name], want, rtol=0, atol=limit, err_msg=name)
