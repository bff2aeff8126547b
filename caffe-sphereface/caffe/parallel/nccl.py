"""pycaffe's NCCL, and its functions about how many solvers train together and which of them this process is."""

import socket

import torch
import torch.distributed as dist

from caffe import random
from caffe.parallel.peers import Solver
from caffe.parallel.rank import set_shard, shard
from caffe.parallel.rendezvous import meet


def solver_count() -> int:
    """How many solvers train together."""
    return shard()[1]


def set_solver_count(count: int) -> None:
    """State how many solvers train together; each reads its share of the data."""
    rank = shard()[0]
    set_shard(rank if rank < count else 0, count)


def solver_rank() -> int:
    """Which of them this process is, from 0."""
    return shard()[0]


def set_solver_rank(rank: int) -> None:
    """State which of `solver_count()` solvers this process is; only number 0 tests, displays and snapshots."""
    set_shard(rank, shard()[1])


def set_multiprocess(multiprocess: bool) -> None:
    """Accepted for old scripts: solvers that train together are processes here in any case."""


def has_nccl() -> bool:
    """True where GPUs can exchange gradients; the class NCCL works between CPU processes (over gloo) too."""
    return torch.cuda.is_available() and dist.is_available() and dist.is_nccl_available()


class NCCL:
    """The processes that train with this one, for scripts in the manner of pycaffe's train.py.

    Set solver count and rank before the solver is made. `uid` is what one process got from `new_uid`. Then `bcast()`,
    and `solver.add_callback(nccl)`. All processes must run on one machine; use torchrun for several.
    """

    def __init__(self, solver: Solver, uid: str) -> None:
        rank, count = shard()
        self._solver, self._peers = solver, meet(str(uid), rank, count)
        random.diverge(rank)

    @staticmethod
    def new_uid() -> str:
        """Where the processes meet: an unused address of this machine, as text."""
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            return f'127.0.0.1:{probe.getsockname()[1]}'

    def bcast(self) -> None:
        """Give every process the parameters of process 0."""
        self._peers.share_parameters(self._solver.net)

    def on_start(self) -> None:
        """Called before each iteration: nothing is to be done."""

    def on_gradients_ready(self) -> None:
        """Average the gradients of all processes."""
        self._peers.average(self._solver.net)

    def __call__(self, layer_index: int) -> None:
        """As a hook of the net after a layer's backward: start to exchange the gradients that are complete."""
        self._peers.layer_done(self._solver, layer_index)
