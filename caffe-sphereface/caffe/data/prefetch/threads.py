"""Reading ahead: worker threads prepare batches in order while the net computes."""

import copy
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic

import torch

from caffe import device, fork
from caffe.data.prefetch.batch import Batch, Filling, Item, Label, NewRow
from caffe.data.prefetch.worker_count import worker_count

_ITEMS_PER_JOB = 8


class _Work(Generic[Item]):
    """What the worker threads share; it knows nothing of the Prefetcher, so that this one can be collected."""

    def __init__(
        self,
        plan: Iterator[Sequence[Item]],
        load: Callable[[Item, NewRow], Label],
        depth: int,
        workers: int,
        pinned: bool,
    ) -> None:
        self.plan, self.load, self.depth, self.workers, self.pinned = plan, load, depth, workers, pinned
        self.lock = threading.RLock()  # the collector may run `stop` in a thread that holds it
        self.batches: deque[Filling[Item]] = deque()
        self.jobs: deque[tuple[Filling[Item], int, Sequence[Item]]] = deque()
        self.stopped = False
        self._without_threads()
        fork.follow(self)

    def _without_threads(self) -> None:
        # a batch that is ready concerns the net alone, one that was taken a single thread: woken together, all of them
        # would contend for the interpreter at the moment when the net needs it
        self.ready, self.wanted = threading.Condition(self.lock), threading.Condition(self.lock)
        self.threads: list[threading.Thread] = []

    def start(self) -> None:
        self.threads = [threading.Thread(target=self.work, name='caffe-data', daemon=True) for _ in range(self.workers)]
        for thread in self.threads:
            thread.start()

    def before_fork(self) -> None:
        self.lock.acquire()

    def after_fork(self, in_child: bool) -> None:
        if in_child:
            self._without_threads()
            self._begin_unfinished_again()
        self.lock.release()

    def _begin_unfinished_again(self) -> None:
        """Plan no batch twice, but fill again those that threads were filling."""
        self.jobs.clear()
        for i, batch in enumerate(self.batches):
            if batch.waiting:
                self.batches[i] = Filling(batch.items, self._allocate)
                self._order(self.batches[i])

    def work(self) -> None:
        while True:
            job = self._take()
            if job is None:
                return
            batch, start, items = job
            batch.fill(start, items, self.load, lambda: self.stopped)
            with self.ready:
                batch.waiting -= len(items)
                if not batch.waiting:
                    self.ready.notify()

    def _take(self) -> tuple[Filling[Item], int, Sequence[Item]] | None:
        """The next job (batch, index of its first item, items), or None when there is nothing left to do.

        Batches are planned in order and under the lock: which thread does it changes nothing.
        """
        with self.wanted:
            while not self.stopped:
                if self.jobs:
                    return self.jobs.popleft()
                if len(self.batches) < self.depth:
                    self._plan_batch()
                else:
                    self.wanted.wait()
            return None

    def _plan_batch(self) -> None:
        try:
            batch = Filling(next(self.plan), self._allocate)
        except Exception as failure:
            self.depth = 0
            batch = Filling([], self._allocate)
            batch.failure = (0, failure)
        self.batches.append(batch)
        self._order(batch)
        self.wanted.notify(len(self.jobs))
        self.ready.notify()

    def _order(self, batch: Filling[Item]) -> None:
        items = batch.items
        self.jobs.extend((batch, i, items[i : i + _ITEMS_PER_JOB]) for i in range(0, len(items), _ITEMS_PER_JOB))

    def _allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.empty(shape, dtype=dtype, pin_memory=self.pinned), torch.empty(shape[0])

    def stop(self) -> None:
        with self.wanted:
            self.stopped = True
            self.jobs.clear()
            self.wanted.notify_all()
        # the collector may run this in one of the threads themselves, which then cannot wait for the others
        if threading.current_thread() not in self.threads:
            for thread in self.threads:
                if thread.is_alive():
                    thread.join(5)


class Prefetcher(Generic[Item]):
    """Batches made by threads, handed out in the order of the plan.

    `plan` yields the list of items of each batch; it is advanced by one thread at a time. `load(item, new_row)`
    writes an item into the array that `new_row(shape, dtype)` gives and returns its label; several threads call it at
    once. Neither may refer to the owner of the Prefetcher, or the threads would keep it alive. Up to `ahead` batches
    are prepared (more where batches are too small to keep all threads busy). What `plan` or `load` raise is raised by
    `next` for the batch concerned. Threads start with the first `next` and end with `stop`, with the Prefetcher itself
    or with the process.
    """

    def __init__(
        self,
        plan: Iterator[Sequence[Item]],
        load: Callable[[Item, NewRow], Label],
        batch_size: int,
        ahead: int = 4,
    ) -> None:
        workers = worker_count()
        jobs = -(-batch_size // _ITEMS_PER_JOB)
        depth = max(ahead, -(-2 * workers // jobs))
        self._work = _Work(plan, load, depth, workers, device.device().type == 'cuda')
        self.stop = weakref.finalize(self, self._work.stop)

    def is_ready(self) -> bool:
        """Whether `next` gives a batch without a wait or an error."""
        with self._work.ready:
            batches = self._work.batches
            return bool(batches and not batches[0].waiting and not batches[0].failure)

    def next(self) -> Batch:
        """The next Batch, complete."""
        work = self._work
        if not work.threads:
            work.start()
        with work.ready:
            work.ready.wait_for(lambda: bool(work.batches) and not work.batches[0].waiting)
            batch = work.batches[0]
            if batch.failure:
                # a copy: raising notes this frame, and with it the Prefetcher, which the threads would keep alive then
                raise copy.copy(batch.failure[1])
            work.batches.popleft()
            work.wanted.notify()
        return batch.batch()
