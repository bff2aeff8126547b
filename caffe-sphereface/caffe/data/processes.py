"""Reading ahead in processes, which leave the interpreter of the net alone."""

import contextlib
import copy
import gc
import mmap
import os
import pickle
import signal
import struct
import time
import weakref
from collections import deque
from functools import partial
from math import prod
from multiprocessing.connection import Pipe

import cv2
import torch

from caffe.data.batch import Batch, Filling
from caffe.data.workers import worker_count
from caffe.errors import CaffeError

_ORDER = struct.Struct('<qq')
_END = -1
_GRACE_SECONDS = 5
_NICE = 5  # where a worker and the net share a core the net goes first: it has nobody reading ahead for it
_LONGEST_MESSAGE = 4000  # messages below PIPE_BUF do not mix with those of other writers


class _Slot:
    """Memory for one batch that several processes see; it grows to the largest batch."""

    def __init__(self):
        self.file = os.memfd_create('caffe-data')
        self._pages = b''

    def views(self, shape, dtype, on_return=None):
        """(data, labels): tensors of `shape` and of shape[:1] in this memory.

        `on_return` is called when nobody holds them, nor a view of them, any more.
        """
        start = -(-4 * shape[0] // 64) * 64
        end = start + prod(shape) * dtype.itemsize
        if end > len(self._pages):
            # unlike a file that was only made longer, this fails where memory is short, and never makes it shorter
            os.posix_fallocate(self.file, 0, end)
            # mapped at once: page by page, the first look at a batch takes several times as long as copying it
            self._pages = mmap.mmap(self.file, end, mmap.MAP_SHARED | getattr(mmap, 'MAP_POPULATE', 0))
        window = memoryview(self._pages)[:end]
        if on_return:
            weakref.finalize(window, on_return).atexit = False
        memory = torch.frombuffer(window, dtype=torch.uint8)
        return memory[start:].view(dtype).view(shape), memory[:4 * shape[0]].view(torch.float32)


class _Team:
    """The worker processes of one data layer, their memory, and the pipes between them and the net.

    Every order (number of the batch, number of the slot) is taken by one worker. Each worker plans all batches, and
    loads those that it has orders for: planning takes 0.4 to 1.6 µs a picture, decoding one 100 µs, and planned items
    need not be sent.
    """

    def __init__(self, plan, load, workers, slots):
        self.plan, self.load = plan, load
        self.slots = [_Slot() for _ in range(slots)]
        self.stopped = mmap.mmap(-1, 1)
        self.orders, self.order_end = os.pipe()
        self.results, self.result_end = Pipe(duplex=False)
        self.owner = os.getpid()
        self.workers, self.lost = [], None
        signals = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            for _ in range(workers):
                child = os.fork()
                if not child:
                    self._live(signals)
                self.workers.append(child)
        except OSError:
            self.stop()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, signals)
            os.close(self.orders)
            self.result_end.close()

    def _live(self, signals):
        """What a worker process does from its beginning to its end."""
        status = 1
        try:
            for number in _HANDLED:  # they are for the net's process, which may go on for a while and then ends these
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, signals)
            os.close(self.order_end)
            self.results.close()
            gc.freeze()  # what was garbage before is the net's process to clear away
            cv2.setNumThreads(0)  # OpenCV's threads did not come along
            os.nice(_NICE)
            self._work()
            status = 0
        except OSError:  # the net's process is gone
            pass
        finally:
            os._exit(status)

    def _work(self):
        planned, failure = 0, None
        while True:
            order = os.read(self.orders, _ORDER.size)
            number, slot = _ORDER.unpack(order) if order else (_END, 0)
            if number == _END:
                return
            items = []
            try:
                while planned <= number and not failure:
                    items = next(self.plan)
                    planned += 1
            except Exception as error:
                failure = error
            self._fill(number, slot, items, failure)

    def _fill(self, number, slot, items, failure):
        filling = Filling(len(items), self.slots[slot].views)
        if not failure:
            filling.fill(0, items, self.load, lambda: self.stopped[0])
            if self.stopped[0]:
                return
            failure = filling.failure and filling.failure[1]
        described = None if failure else (tuple(filling.data.shape), filling.data.dtype)
        self.result_end.send_bytes(_message(number, slot, described, failure))

    def order(self, number, slot):
        """Let some worker make batch `number` in memory `slot`."""
        if not self.stopped[0]:
            os.write(self.order_end, _ORDER.pack(number, slot))

    def receive(self):
        """The next (number, slot, (shape, dtype) or None, failure or None) that a worker has sent."""
        try:
            while not self.results.poll(1):
                self._expect_alive()
            return pickle.loads(self.results.recv_bytes())
        except EOFError:
            self._expect_alive()
            raise CaffeError('all worker processes have ended') from None

    def _expect_alive(self):
        for child in self.workers if not self.lost else ():
            status = _ended(child)
            if status is not None:
                self.workers.remove(child)
                how = f'exit status {status}' if status >= 0 else f'signal {-status}'
                self.lost = f'worker process {child} has ended unexpectedly ({how})'
                break
        if self.lost:
            raise CaffeError(self.lost)

    def stop(self):
        if os.getpid() != self.owner:  # a copy of the net's process has come to its end
            return
        with contextlib.suppress(OSError):
            for _ in self.workers:
                self.order(_END, 0)
        self.stopped[0] = 1
        os.close(self.order_end)
        until = time.monotonic() + _GRACE_SECONDS
        for child in self.workers:
            while _ended(child) is None:
                if time.monotonic() > until:
                    os.kill(child, signal.SIGKILL)
                time.sleep(0.001)
        self.results.close()
        for slot in self.slots:
            os.close(slot.file)


_HANDLED = {signal.SIGINT, signal.SIGHUP, signal.SIGTERM}


def _message(number, slot, described, failure):
    try:
        content = pickle.dumps((number, slot, described, failure))
    except Exception:  # exceptions can hold anything
        content = None
    if content is None or len(content) > _LONGEST_MESSAGE:
        content = pickle.dumps((number, slot, described, CaffeError(f'{failure}'[:_LONGEST_MESSAGE // 8])))
    return content


def _ended(child):
    """The exit status of a child process (below 0: a signal), None while it lives."""
    try:
        child, status = os.waitpid(child, os.WNOHANG)
    except ChildProcessError:  # somebody else has waited for it
        return 0
    return os.waitstatus_to_exitcode(status) if child else None


class ProcessPrefetcher:
    """What Prefetcher is, with processes in place of threads: they are copies of this one, made by the first `next`.

    `plan` and `load` run in each of them, on what was opened before. A batch is handed out in memory that the workers
    see, and that they fill anew when nobody holds the batch any more. `ahead` batches can be ready or in use while
    every worker is busy with another one.
    """

    def __init__(self, plan, load, ahead=4):
        self._source, self._workers, self._ahead = (plan, load), worker_count(), max(2, ahead)
        self._team, self._made, self.stop = None, {}, lambda: None
        self._ordered = self._due = self._lent = 0
        self._returned = deque()

    def is_ready(self):
        """Whether `next` gives a batch without a wait or an error."""
        while self._team and self._due not in self._made and self._team.results.poll():
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
        number, *rest = self._team.receive()
        self._made[number] = rest

    def _hand_out(self, slot, described):
        data, labels = self._team.slots[slot].views(*described, partial(self._returned.append, slot))
        self._lent += 1
        if self._lent > self._ahead:  # somebody keeps batches, whose memory the workers need
            data, labels = data.clone(), labels.clone()
        return Batch(data, labels)

    def _order(self, slot):
        self._team.order(self._ordered, slot)
        self._ordered += 1

    def _start(self):
        slots = self._workers + self._ahead
        try:
            self._team = _Team(*self._source, self._workers, slots)
        except OSError as error:
            raise CaffeError(f'{self._workers} worker processes cannot be started ({error.strerror}); '
                             'CAFFE_DATA_WORKERS sets how many') from None
        self.stop = weakref.finalize(self, self._team.stop)
        for slot in range(slots):
            self._order(slot)
