"""What holds for the whole process: device, precision, memory format, dialect, random numbers, log, share of the data.

`state` is the one object that holds it. The modules with the functions that set and read it are `caffe.device`,
`caffe.precision`, `caffe.blobs.memory_format`, `caffe.proto.dialects`, `caffe.random`, `caffe.log` and
`caffe.parallel.rank`.
"""

import os
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np
import torch

from caffe import fork
from caffe.errors import CaffeError

CPU = torch.device('cpu')


@dataclass
class RandomState:
    """What random numbers are drawn from; `seed` is None until one is chosen, `offset` is added to it for tensors."""

    seed: int | None = None
    offset: int = 0
    of_data: np.random.Generator = field(default_factory=np.random.default_rng)
    of_tensors: dict[torch.device, torch.Generator] = field(default_factory=dict)


@dataclass
class LogState:
    """Lines below `level` are hidden, `muted` hides all; `file` is open in `folder` once a line was written there."""

    level: int = 0
    muted: bool = False
    folder: str | None = None
    program: str = ''
    file: TextIO | None = None


@dataclass(eq=False)
class ProcessState:
    """`device` is None in a process that was forked from one whose nets run on a GPU, which cannot be used there.

    `gpu` is the number that `set_device` chose, used or not. `cuda_graphs` is None as long as the environment decides.
    This process reads the items `rank`, `rank + count`, … of training data.
    """

    device: torch.device | None = CPU
    gpu: int = 0
    gpu_works: bool = True
    precision: str = 'fp32'
    gpu_channels_last: bool = False
    cuda_graphs: bool | None = None
    dialect: str = 'sphereface'
    random: RandomState = field(default_factory=RandomState)
    log: LogState = field(default_factory=LogState)
    rank: int = 0
    count: int = 1
    _gpu_was_used: bool = False

    def lost_gpu(self) -> CaffeError:
        """What to raise where `gpu_works` is false and a GPU is needed."""
        return CaffeError(
            f'GPU mode: process {os.getpid()} was forked from one that had used the GPU, where CUDA does not work; '
            'expected a process started anew (multiprocessing\'s "spawn"), or set_mode_cpu and nets made here'
        )

    def before_fork(self) -> None:
        """Note what a child cannot find out any more."""
        self._gpu_was_used = torch.cuda.is_initialized()

    def after_fork(self, in_child: bool) -> None:
        """In a child, give up a GPU that the parent has used."""
        if in_child and self._gpu_was_used:
            self.gpu_works = False
            if self.device != CPU:
                self.device = None


state = ProcessState(log=LogState(level=int(os.environ.get('GLOG_minloglevel') or 0)))
fork.follow(state)
