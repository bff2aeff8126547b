"""Reading ahead: worker threads prepare batches in order while the net computes."""

import copy
import os
import threading
import weakref
from collections import deque

import numpy as np
import torch

from caffe import mode
from caffe.errors import CaffeError

WORKERS_VARIABLE = 'CAFFE_DATA_WORKERS'
_ITEMS_A_JOB = 8


def worker_count():
    """Threads a data layer: one a core of this process, or what the environment variable CAFFE_DATA_WORKERS says."""
    stated = os.environ.get(WORKERS_VARIABLE)
    if stated is None:
        return min(32, len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1)
    if not stated.isdigit() or int(stated) < 1:
        raise CaffeError(f"{WORKERS_VARIABLE}='{stated}': expected a number of threads of at least 1")
    return int(stated)


class Batch:
    """One batch in the making: `data` (N, ...) as a torch tensor on the host, `labels` (N,) as float32."""

    def __init__(self, count, pinned):
        self.data = None
        self.labels = np.zeros(count, np.float32)
        self.waiting = count
        self.failure = None
        self._count, self._pinned = count, pinned
        self._lock = threading.Lock()

    def slot(self, index, shape, dtype):
        """The writable array of item `index`; the first call decides the shape and dtype of all items."""
        with self._lock:
            if self.data is None:
                kind = torch.uint8 if dtype == np.uint8 else torch.float32
                self.data = torch.empty((self._count, *shape), dtype=kind, pin_memory=self._pinned)
                self._array = self.data.numpy()
        if self._array.shape[1:] != tuple(shape) or self._array.dtype != dtype:
            raise CaffeError(f'has shape {tuple(shape)} and type {np.dtype(dtype)}, others of its batch '
                             f'{self._array.shape[1:]} and {self._array.dtype}; expected the same (new_height and '
                             'new_width, or crop_size, make pictures alike)')
        return self._array[index]


class _Work:
    """What the worker threads share; it knows nothing of the Prefetcher, so that this one can be collected."""

    def __init__(self, plan, load, depth, workers, pinned):
        self.plan, self.load, self.depth, self.pinned = plan, load, depth, pinned
        self.changed = threading.Condition()
        self.batches, self.jobs = deque(), deque()
        self.stopped = False
        self.threads = [threading.Thread(target=self.work, name='caffe-data', daemon=True) for _ in range(workers)]

    def work(self):
        while True:
            job = self._take()
            if job is None:
                return
            batch, start, items = job
            for index, item in enumerate(items, start):
                if self.stopped:
                    return
                self._fill(batch, index, item)
            with self.changed:
                batch.waiting -= len(items)
                if not batch.waiting:
                    self.changed.notify_all()

    def _fill(self, batch, index, item):
        try:
            batch.labels[index] = self.load(item, lambda shape, dtype: batch.slot(index, shape, dtype))
        except Exception as failure:
            with self.changed:
                if batch.failure is None or index < batch.failure[0]:
                    batch.failure = (index, failure)

    def _take(self):
        """The next job (batch, index of its first item, items), or None when there is nothing left to do.

        Batches are planned in order and under the lock: which thread does it changes nothing.
        """
        with self.changed:
            while not self.stopped:
                if self.jobs:
                    return self.jobs.popleft()
                if len(self.batches) < self.depth:
                    self._plan_batch()
                else:
                    self.changed.wait()
            return None

    def _plan_batch(self):
        try:
            items = next(self.plan)
        except Exception as failure:
            batch = Batch(0, False)
            batch.failure = (0, failure)
            self.depth = 0
            self.batches.append(batch)
            self.changed.notify_all()
            return
        batch = Batch(len(items), self.pinned)
        self.batches.append(batch)
        self.jobs.extend((batch, i, items[i:i + _ITEMS_A_JOB]) for i in range(0, len(items), _ITEMS_A_JOB))
        self.changed.notify_all()

    def stop(self):
        with self.changed:
            self.stopped = True
            self.jobs.clear()
            self.changed.notify_all()
        # the collector may run this in one of the threads themselves, which then cannot wait for the others
        if threading.current_thread() not in self.threads:
            for thread in self.threads:
                if thread.is_alive():
                    thread.join(5)


class Prefetcher:
    """Batches made by threads, handed out in the order of the plan.

    `plan` yields the list of items of each batch; it is advanced by one thread at a time. `load(item, slot)` writes
    an item into the array that `slot(shape, dtype)` gives and returns its label; several threads call it at once.
    Neither may refer to the owner of the Prefetcher, or the threads would keep it alive. Up to `ahead` batches are
    prepared (more where batches are too small to keep all threads busy). What `plan` or `load` raise is raised by
    `next` for the batch concerned. Threads start with the first `next` and end with `stop`, with the Prefetcher itself
    or with the process.
    """

    def __init__(self, plan, load, batch_size, ahead=4):
        workers = worker_count()
        jobs = -(-batch_size // _ITEMS_A_JOB)
        depth = max(ahead, -(-2 * workers // jobs))
        self._work = _Work(plan, load, depth, workers, mode.device().type == 'cuda')
        self.stop = weakref.finalize(self, self._work.stop)
        self._started = False

    def next(self):
        """The next Batch, complete."""
        work = self._work
        if not self._started:
            self._started = True
            for thread in work.threads:
                thread.start()
        with work.changed:
            work.changed.wait_for(lambda: work.batches and not work.batches[0].waiting)
            batch = work.batches[0]
            if batch.failure:
                # a copy: raising notes this frame, and with it the Prefetcher, which the threads would keep alive then
                raise copy.copy(batch.failure[1])
            work.batches.popleft()
            work.changed.notify_all()
        return batch
