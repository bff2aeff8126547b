"""The memory that a training takes at most, beside that of PyTorch's module; each in a process of its own."""

import multiprocessing

from benchmark_memory import peak
from benchmarks.nets import MOBILE

from gpu_checks.check import Check

ROWS = [('sphereface-20', 256), (MOBILE, 256), ('vgg16', 32), ('sphereface-4', 256), ('sphereface-64', 256)]


def run(check: Check) -> None:
    for name, batch in [('sphereface-4', 2)] if check.tiny else ROWS:
        with check.apart(f'{name} {batch}'):
            # forked before this process has touched the GPU
            with multiprocessing.get_context('fork').Pool(1, maxtasksperchild=1) as pool:
                peaks = {who: pool.apply(peak, (who, name, batch, check.gpu)) for who in ('caffe', 'torch')}
            check.figure(f'{name} {batch}, MiB', peaks)
