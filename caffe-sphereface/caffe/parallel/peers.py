"""Processes that train one net together over torch.distributed: NCCL between GPUs, gloo between CPUs."""

import atexit
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import torch
import torch.distributed as dist

from caffe import device as mode
from caffe.errors import CaffeError, first_line
from caffe.layer_errors import is_out_of_range
from caffe.parallel.gradients import Gradients, Net
from caffe.proto import caffe_pb2

# process 0 alone runs the test nets and writes snapshots, the others wait for it as long as that takes
_PATIENCE = timedelta(hours=2)
_DELAY_SECONDS = 0.5
_REQUESTS = ('snapshot', 'stop')


class History(Protocol):
    """What keeps the history of a solver's rule."""

    history: list[torch.Tensor]


class Solver(Protocol):
    """What is asked of a solver that trains with others."""

    param: caffe_pb2.SolverParameter
    origin: str | Path | None
    iter: int
    current_step: int
    action: Callable[[], str | None]
    peers: 'Peers | None'
    completes_gradients: bool

    @property
    def net(self) -> Net: ...

    @property
    def updater(self) -> History: ...

    def add_callback(self, on_start: Callable[[], object], on_gradients_ready: Callable[[], object], /) -> None: ...


class Peers:
    """The `count` processes of one training, of which this one is number `rank`.

    `store` is the torch.distributed Store where they meet. Gradients are averaged by all-reduces, the last of which
    also carries what signals asked of any process, so that all stop in the same iteration. Every method raises
    CaffeError when another process is gone.
    """

    def __init__(self, store: dist.Store, rank: int, count: int) -> None:
        self.rank, self.count, self._process = rank, count, os.getpid()
        self._gradients: Gradients | None = None  # made for the first exchange
        self._signals: Callable[[], str | None] = lambda: None  # the solver's own `action`
        self._local: list[str] = []  # requests that only this process knows so far
        self._agreed: str | None = None  # a request that all know, until the solver takes it
        self._stopping = False  # a signal has asked this process to stop
        # on the host, the sums of requests that came with the last gradients, until they are read
        self._answer: torch.Tensor | None = None
        self._answer_memory: torch.Tensor | None = None
        self._copied: torch.cuda.Event | None = None  # the event that ends their copy from a GPU
        backend = 'nccl' if mode.device().type == 'cuda' else 'gloo'
        with self._together():
            dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=_PATIENCE)
        # threads of a group that still stands when the interpreter ends would abort the process
        atexit.register(_part, self._process)

    @contextmanager
    def _together(self) -> Iterator[None]:
        if os.getpid() != self._process:
            raise CaffeError(
                f'process {os.getpid()} was forked from process {self.rank} of {self.count} of a training, which has '
                'the connections to the others; expected a solver made here'
            )
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, (CaffeError, torch.OutOfMemoryError)) or is_out_of_range(error):
                raise
            # whoever watches all processes shall see the end of that one first
            time.sleep(_DELAY_SECONDS)
            raise CaffeError(
                f'process {self.rank} of {self.count} stops: another process of this training ended or '
                f'cannot be reached ({first_line(error)})'
            ) from None

    # -- one start ----------------------------------------------------------------------------------------------------

    def attach(self, solver: Solver) -> None:
        """Make `solver` train with the others: its callbacks, its signals and its tests' interruptions."""
        if solver.param.lr_policy == 'plateau':
            raise CaffeError(
                f'{solver.origin}: lr_policy plateau follows the loss, which differs between processes; '
                'expected one process'
            )
        self._signals = solver.action
        solver.action = self._take_agreed
        solver.peers = self
        if solver.param.layer_wise_reduce:
            solver.net.after_backward(lambda index: self.layer_done(solver, index))
        solver.add_callback(lambda: None, lambda: self.average(solver.net))

    def align(self, solver: Solver) -> None:
        """Give every process the parameters, iteration, rate step and history of process 0."""
        device = mode.device()
        position = torch.tensor([solver.iter, solver.current_step]).to(device)
        history = [h.to(device).contiguous() for h in solver.updater.history]
        with self._together():
            dist.broadcast(position, 0)
            self.share_parameters(solver.net)
            for values in history:
                dist.broadcast(values, 0)
        solver.iter, solver.current_step = position.tolist()
        solver.updater.history = history

    def share_parameters(self, net: Net) -> None:
        """Give every process the parameters of process 0, those without a learning rate included."""
        with self._together():
            for blob in net.learnable.blobs:
                values = blob.tensor.clone(memory_format=torch.contiguous_format)
                dist.broadcast(values, 0)
                blob.tensor = values

    # -- every iteration ----------------------------------------------------------------------------------------------

    def layer_done(self, solver: Solver, index: int) -> None:
        """Start to exchange what is complete after the backward of layer `index`, where it is an iteration's last."""
        if solver.completes_gradients:
            with self._together():
                self._gradients_of(solver.net).layer_done(index)

    def average(self, net: Net) -> None:
        """Replace the diffs of all parameters of `net` that learn by their mean over the processes."""
        gradients = self._gradients_of(net)
        self._read_answer()
        self._put_requests(gradients.extra)
        with self._together():
            gradients.finish(self.count)
        self._ask_answer(gradients.extra)

    def _gradients_of(self, net: Net) -> Gradients:
        if self._gradients is None:
            self._gradients = Gradients(net, len(_REQUESTS))
        return self._gradients

    def _put_requests(self, requests: torch.Tensor) -> None:
        self._collect_signals()
        # filled, not copied from the host: a GPU would be waited for
        for request, kind in zip(requests.unbind(), _REQUESTS):
            request.fill_(kind in self._local)
        self._local.clear()

    def _ask_answer(self, requests: torch.Tensor) -> None:
        """Start copying the sums of requests to the host; they are read one iteration later, when a GPU has them."""
        on_gpu = requests.device.type == 'cuda'
        if self._answer_memory is None:
            self._answer_memory = torch.empty(len(_REQUESTS), pin_memory=on_gpu)
            self._copied = torch.cuda.Event() if on_gpu else None
        self._answer = self._answer_memory.copy_(requests, non_blocking=on_gpu)
        if self._copied:
            self._copied.record()

    def _read_answer(self) -> None:
        if self._answer is not None:
            if self._copied:
                self._copied.synchronize()
            snapshot, stop = self._answer.tolist()
            self._agreed, self._answer = ('stop' if stop else 'snapshot' if snapshot else None), None

    def _collect_signals(self) -> None:
        request = self._signals()
        while request:
            self._local.append(request)
            self._stopping = self._stopping or request == 'stop'
            request = self._signals()

    def _take_agreed(self) -> str | None:
        request, self._agreed = self._agreed, None
        return request

    def wants_stop(self) -> bool:
        """True when a signal asked this process to stop, which the others learn with the next gradients."""
        self._collect_signals()
        return self._stopping

    # -- the end ------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Wait until all processes are done and part."""
        device = mode.device()
        with self._together():
            # NCCL would take the device that happens to be current, and warn
            dist.barrier(device_ids=[device.index] if device.type == 'cuda' else None)
        _part(self._process)


def _part(process: int) -> None:
    """Leave the process group that `process` has joined, where this is that process and has not left it before."""
    if os.getpid() == process and dist.is_initialized():
        dist.destroy_process_group()
