"""The memory that a training takes at most, beside that of PyTorch's module; each in a process of its own."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from benchmark_memory import peak
from benchmarks.nets import MOBILE

from gpu_checks.check import Check

ROWS = [('sphereface-20', 256), (MOBILE, 256), ('vgg16', 32), ('sphereface-4', 256), ('sphereface-64', 256)]


def run(check: Check) -> None:
    for name, batch in [('sphereface-4', 2)] if check.tiny else ROWS:
        with check.apart(f'{name} {batch}'):
            peaks = {who: _peak_elsewhere(who, name, batch, check.gpu) for who in ('caffe', 'torch')}
            check.figure(f'{name} {batch}, MiB', peaks)


def _peak_elsewhere(who: str, name: str, batch: int, gpu: int | None) -> float:
    """The peak of a training in a process forked from this one, which has not touched the GPU."""
    with ProcessPoolExecutor(1, multiprocessing.get_context('fork')) as pool:
        return pool.submit(peak, who, name, batch, gpu).result()
