"""Reading ahead in processes, which leave the interpreter of the net alone."""

import copy
import pickle
import weakref
from collections import deque
from functools import partial

from caffe import fork
from caffe.data.prefetch.batch import Batch, Filling
from caffe.data.prefetch.shared_memory import Slot
from caffe.data.prefetch.worker_count import worker_count
from caffe.data.prefetch.worker_processes import LONGEST_MESSAGE, Team
from caffe.errors import CaffeError


class ProcessPrefetcher:
    """What Prefetcher is, with processes in place of threads: they are copies of this one, made by the first `next`.

    `plan` and `load` run in each of them, on what was opened before. A batch is handed out in memory that the workers
    see, and that they fill anew when nobody holds the batch any more. `ahead` batches can be ready or in use while
    every worker is busy with another one.
    """

    def __init__(self, plan, load, ahead=4):
        self._source, self._workers, self._ahead = (plan, load), worker_count(), max(2, ahead)
        self._due = 0  # number of the batch that `next` hands out
        self._without_workers()
        fork.follow(self)

    def _without_workers(self):
        self._slots, self._team, self.stop = [], None, lambda: None
        self._made = {}  # (slot, shape and dtype, failure) of batches that are there, by number
        self._ordered = self._due  # number of the batch that workers are asked for next
        self._lent = 0  # slots whose batch somebody outside holds
        self._returned = deque()  # slots that nobody holds any more, to be ordered anew

    def before_fork(self):
        """Nothing is to be done: the workers have no locks."""

    def after_fork(self, in_child):
        """In a copy of this process, leave the workers to the original; `next` starts others."""
        if in_child and self._team:
            self._team.leave()
            self._without_workers()

    def is_ready(self):
        """Whether `next` gives a batch without a wait or an error."""
        while self._team and self._due not in self._made and self._team.has_answered():
            self._receive()
        return self._due in self._made and not self._made[self._due][-1]

    def next(self):
        """The next Batch, complete."""
        if self._team is None:
            self._start()
        while self._returned:
            self._lent -= 1
            self._order(self._returned.popleft())
        while self._due not in self._made:
            self._receive()
        slot, described, failure = self._made[self._due]
        if failure:
            raise copy.copy(failure)
        del self._made[self._due]
        self._due += 1
        return self._hand_out(slot, described)

    def _receive(self):
        try:
            number, *made = self._team.receive()
        except CaffeError as failure:
            number, made = self._due, [None, None, failure]
        self._made[number] = made

    def _hand_out(self, slot, described):
        data, labels = self._slots[slot].views(*described, partial(self._returned.append, slot))
        self._lent += 1
        if self._lent > self._ahead:  # somebody keeps batches, whose memory the workers need
            data, labels = data.clone(), labels.clone()
        return Batch(data, labels)

    def _order(self, slot):
        self._team.send((self._ordered, slot))
        self._ordered += 1

    def _start(self):
        try:
            self._slots = [Slot() for _ in range(self._workers + self._ahead)]
            self._team = Team(_filler(*self._source, self._slots), self._workers)
        except OSError as error:
            raise CaffeError(
                f'{self._workers} worker processes cannot be started ({error.strerror}); '
                'CAFFE_DATA_WORKERS sets how many'
            ) from None
        self.stop = weakref.finalize(self, self._team.kill)
        for slot in range(len(self._slots)):
            self._order(slot)


def _filler(plan, load, slots):
    """What a worker does: a function of (number of a batch, slot) that makes the batch in the memory of that slot.

    It gives (number, slot, (shape, dtype) or None, failure or None). Each worker plans all batches: that takes 0.4 to
    1.6 µs a picture, decoding one 100 µs, and planned items need not be sent.
    """
    numbered = enumerate(plan)

    def fill(order):
        number, slot = order
        try:
            items = next(items for planned, items in numbered if planned == number)
        except Exception as failure:
            return number, slot, None, _portable(failure)
        filling = Filling(items, slots[slot].views)
        filling.fill(0, items, load, lambda: False)
        if filling.failure:
            return number, slot, None, _portable(filling.failure[1])
        return number, slot, (tuple(filling.data.shape), filling.data.dtype), None

    return fill


def _portable(failure):
    """`failure`, or a CaffeError that says the same where it cannot be sent: exceptions can hold anything."""
    try:
        message = pickle.dumps(failure)
        pickle.loads(message)
        if len(message) < LONGEST_MESSAGE // 2:
            return failure
    except Exception:
        pass
    return CaffeError(str(failure)[:1000])
