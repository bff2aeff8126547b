"""Reading ahead in processes, which leave the interpreter of the net alone."""

import copy
import pickle
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, NamedTuple

import torch

from caffe import fork
from caffe.data.prefetch.batch import Batch, Filling, Item, Label, NewRow
from caffe.data.prefetch.shared_memory import SharedBuffer
from caffe.data.prefetch.worker_count import worker_count
from caffe.data.prefetch.worker_processes import LONGEST_MESSAGE, WorkerProcesses
from caffe.errors import CaffeError


class _Made(NamedTuple):
    """What a worker answers: the batch of a number lies in a buffer as `shape` and `dtype`, or could not be made."""

    number: int
    buffer: int = 0
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32
    failure: Exception | None = None


class ProcessPrefetcher(Generic[Item]):
    """A Prefetcher with processes in place of threads: copies of this one, made by the first `next`.

    `plan` and `load` run in each of them, on what was opened before. A batch is handed out in memory that the workers
    see, and that they fill again once nothing refers to the batch. `ahead` batches can be ready or in use while
    every worker is busy with another one. Labels must be a number each.
    """

    def __init__(self, plan: Iterator[Sequence[Item]], load: Callable[[Item, NewRow], Label], ahead: int = 4) -> None:
        self._plan, self._load = plan, load
        self._count, self._ahead = worker_count(), max(2, ahead)
        self._due = 0  # number of the batch that `next` hands out
        self._without_workers()
        fork.follow(self)

    def _without_workers(self) -> None:
        self._buffers: list[SharedBuffer] = []
        self._workers: WorkerProcesses | None = None
        self.stop: Callable[[], object] = lambda: None
        self._made: dict[int, _Made] = {}  # batches that are there, by number
        self._ordered = self._due  # number of the batch that workers are asked for next
        self._lent = 0  # buffers whose batch is still referred to outside
        self._returned: deque[int] = deque()  # buffers whose batch nothing refers to any longer, to be ordered again

    def before_fork(self) -> None:
        """Nothing is to be done: the workers have no locks."""

    def after_fork(self, in_child: bool) -> None:
        """In a copy of this process, leave the workers to the original; `next` starts others."""
        if in_child and self._workers:
            self._workers.leave()
            self._without_workers()

    def is_ready(self) -> bool:
        """Whether `next` gives a batch without a wait or an error."""
        while self._workers and self._due not in self._made and self._workers.has_answered():
            self._receive(self._workers)
        return self._due in self._made and not self._made[self._due].failure

    def next(self) -> Batch:
        """The next Batch, complete."""
        workers = self._workers or self._start()
        while self._returned:
            self._lent -= 1
            self._order(workers, self._returned.popleft())
        while self._due not in self._made:
            self._receive(workers)
        made = self._made[self._due]
        if made.failure:
            raise copy.copy(made.failure)
        del self._made[self._due]
        self._due += 1
        return self._hand_out(made)

    def _receive(self, workers: WorkerProcesses) -> None:
        try:
            made: _Made = workers.receive()
        except CaffeError as failure:
            made = _Made(self._due, failure=failure)
        self._made[made.number] = made

    def _hand_out(self, made: _Made) -> Batch:
        on_return = partial(self._returned.append, made.buffer)
        data, labels = self._buffers[made.buffer].views(made.shape, made.dtype, on_return)
        self._lent += 1
        if self._lent > self._ahead:  # the caller keeps batches, and the workers need their memory
            data, labels = data.clone(), labels.clone()
        return Batch(data, labels)

    def _order(self, workers: WorkerProcesses, buffer: int) -> None:
        workers.send((self._ordered, buffer))
        self._ordered += 1

    def _start(self) -> WorkerProcesses:
        try:
            self._buffers = [SharedBuffer() for _ in range(self._count + self._ahead)]
            workers = self._workers = WorkerProcesses(_filler(self._plan, self._load, self._buffers), self._count)
        except OSError as error:
            raise CaffeError(
                f'{self._count} worker processes cannot be started ({error.strerror}); CAFFE_DATA_WORKERS sets how many'
            ) from None
        self.stop = weakref.finalize(self, workers.kill)
        for buffer in range(len(self._buffers)):
            self._order(workers, buffer)
        return workers


def _filler(
    plan: Iterator[Sequence[Item]], load: Callable[[Item, NewRow], Label], buffers: Sequence[SharedBuffer]
) -> Callable[[tuple[int, int]], _Made]:
    """What a worker does: a function of (number of a batch, index of a buffer) that makes the batch in that buffer.

    Each worker plans all batches: that takes 0.4 to 1.6 µs per picture, decoding one 100 µs, and planned items need not
    be sent.
    """
    numbered = enumerate(plan)

    def fill(order: tuple[int, int]) -> _Made:
        number, buffer = order
        try:
            items = next(items for planned, items in numbered if planned == number)
        except Exception as failure:
            return _Made(number, buffer, failure=_portable(failure))
        filling = Filling(items, buffers[buffer].views)
        filling.fill(0, items, load, lambda: False)
        if filling.failure:
            return _Made(number, buffer, failure=_portable(filling.failure[1]))
        return _Made(number, buffer, tuple(filling.data.shape), filling.data.dtype)

    return fill


def _portable(failure: Exception) -> Exception:
    """`failure`, or a CaffeError that says the same where it cannot be sent: exceptions can hold anything."""
    try:
        message = pickle.dumps(failure)
        pickle.loads(message)
        if len(message) < LONGEST_MESSAGE // 2:
            return failure
    except Exception:
        pass
    return CaffeError(str(failure)[:1000])
