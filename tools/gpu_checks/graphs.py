"""Work replayed as CUDA graphs against the same work queued kernel by kernel: speed, memory, and what it computes."""

import gc
from collections.abc import Callable
from functools import partial
from unittest import mock

import numpy as np
import torch
from benchmarks.measuring import take_turns
from benchmarks.nets import MOBILE, training_net
from benchmarks.peers import engine_step, inference
from sphereslim.engine import caffe

from caffe.cuda_graphs.recording import Recording
from caffe.device import now
from gpu_checks.check import Check

# where there is least to compute for each kernel, graphs save most
ROWS = [('sphereface-4', 32), (MOBILE, 32), ('sphereface-20', 32), ('sphereface-64', 32), ('sphereface-20', 256)]
STEPS, TINY_STEPS = 30, 6
A_ROUND = 5  # steps that are measured together, so that the host can run ahead of the GPU
SECONDS = 0.4
TRAINED, INFERRED = 5e-3, 1e-4  # of the largest value of an array, that results may lie apart

# (a step, the arrays that it has led to)
Work = tuple[Callable[[], object], Callable[[], list[np.ndarray]]]


def run(check: Check) -> None:
    device = check.choose()
    if check.device == 'cpu':
        check.pass_over('graphs', 'nets on the CPU are not captured; what follows is the same work twice')
    for name, batch in [('sphereface-4', 2)] if check.tiny else ROWS:
        with check.apart(f'training {name} {batch}'):
            _compare(check, f'training {name} {batch}', batch, partial(_training, name, batch), TRAINED)
        with check.apart(f'inference {name} {batch}'):
            _compare(check, f'inference {name} {batch}', batch, partial(_inferring, name, batch, device), INFERRED)


def _training(name: str, batch: int) -> Work:
    """(an iteration, what it has learned)."""
    step, net = engine_step(training_net(name, batch))
    return step, lambda: [blob.data.copy() for blobs in net.params.values() for blob in blobs]


def _inferring(name: str, batch: int, device: torch.device) -> Work:
    """(a forward, its outputs)."""
    forward = inference(name, batch, torch.get_num_threads(), (), device)['caffe']
    return forward, lambda: [np.array(forward())]


def _compare(check: Check, row: str, batch: int, make: Callable[[], Work], limit: float) -> None:
    """State what two of the same work do, the second one with graphs; they must agree to `limit`."""
    rounds, results, memory = {}, [], {}
    for who, graphs in (('caffe', False), ('graphs', True)):
        caffe.set_random_seed(1)
        before = _reserved(check)
        step, result = make()
        with mock.patch.object(Recording, 'replay', autospec=True, side_effect=Recording.replay) as replay:
            _steps(step, graphs, TINY_STEPS if check.tiny else STEPS)
        if graphs and check.device == 'cuda' and not replay.called:
            check.wrong(row, 'was not captured, log.txt says why')
        results.append(result())
        memory[who] = _reserved(check, most=True) - before
        rounds[who] = partial(_steps, step, graphs, 1 if check.tiny else A_ROUND)
    wall, _ = take_turns(rounds, 0 if check.tiny else SECONDS)
    rates = {who: 1e3 * batch * (1 if check.tiny else A_ROUND) / ms for who, ms in wall.items()}
    check.figure(f'{row}, pictures/s', rates | {'times as many': rates['graphs'] / rates['caffe']})
    check.figure(f'{row}, MiB', memory)
    apart = max(float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-3)) for a, b in zip(*results))
    check.figure(f'{row}, apart', apart)
    if not apart <= limit:
        check.wrong(f'{row}, apart', f'expected at most {limit:g}')


def _steps(step: Callable[[], object], graphs: bool, count: int) -> None:
    """Do so many, and wait until a GPU has."""
    caffe.set_cuda_graphs(graphs)
    try:
        for _ in range(count):
            step()
        now()
    finally:
        caffe.set_cuda_graphs(None)


def _reserved(check: Check, most: bool = False) -> float:
    """MiB that PyTorch holds of a GPU, or the most since this was last called without `most`; 0 on the CPU."""
    if check.device == 'cpu' or not torch.cuda.is_initialized():
        return 0.0
    if most:
        return torch.cuda.max_memory_reserved() / 2**20
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_reserved() / 2**20
