"""Tells a process when another one falls silent without closing its connection: a machine or a network that is down.

A process that dies closes its connections, which the others see at once. A machine without power or a cut cable closes
nothing, and everyone would wait in an exchange for hours.
"""

import os
import threading
import time
from datetime import timedelta

import torch.distributed as dist

from caffe.errors import CaffeError, first_line

PERIOD_SECONDS = 5
# longer than machines stall when they swap, shorter than anybody likes to wait
LIMIT_SECONDS = 120
# for the connection, and for the first signs of life
PATIENCE = timedelta(minutes=5)


class Pulse:
    """What process `rank` of `count` knows of the others, by counters in a torch.distributed Store.

    The store must be this object's own connection: another thread's waiting for a key would block its requests.
    """

    def __init__(self, store, rank, count, clock=time.monotonic):
        self._store, self._rank, self._clock = store, rank, clock
        self._others = [other for other in range(count) if other != rank]
        self._beats, self._last, self._heard = 0, {}, {}

    def beat(self):
        """Give a sign of life and look for those of the others; waits until each has given its first."""
        self._beats += 1
        self._store.set(_key(self._rank), f'{os.getpid()} {self._beats}')
        signs = self._store.multi_get([_key(other) for other in self._others])
        for other, sign in zip(self._others, signs):
            if self._last.get(other) != sign:
                self._last[other], self._heard[other] = sign, self._clock()

    def silent(self, limit):
        """The ranks that were heard of once, but not for `limit` seconds."""
        return [rank for rank, heard in list(self._heard.items()) if self._clock() - heard > limit]


def _key(rank):
    return f'caffe/pulse/{rank}'


def keep_watch(address, rank, count, end):
    """Call `end(text)`, which must end this process, when another one falls silent; a function that ends the watch.

    `address` (host, port) is that of the TCPStore where all processes met; CaffeError where it does not answer. `end`
    is called from another thread, since the main one waits in an exchange.
    """
    over = threading.Event()
    pulse = Pulse(_connect(*address, rank), rank, count)
    # two threads: without a network the first one waits in `beat`
    for task in ((_beat, pulse, over), (_watch, pulse, over, f'process {rank} of {count}', end)):
        threading.Thread(target=task[0], args=task[1:], name='caffe-pulse', daemon=True).start()
    return over.set


def _connect(host, port, rank):
    try:
        return dist.TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=PATIENCE)
    except RuntimeError as error:
        raise CaffeError(
            f'process {rank}: the training at {host}:{port} does not answer any more ({first_line(error)})'
        ) from None


def _beat(pulse, over):
    try:
        while not over.is_set():
            pulse.beat()
            over.wait(PERIOD_SECONDS)
    except RuntimeError:
        # the store is gone: what that means shows in the next exchange, or in everyone's silence
        pass


def _watch(pulse, over, name, end):
    while not over.wait(PERIOD_SECONDS):
        silent = pulse.silent(LIMIT_SECONDS)
        if silent:
            end(
                f'{name} stops: nothing was heard of process {", ".join(map(str, silent))} for {LIMIT_SECONDS} s, its '
                'machine or the network is down'
            )
