"""Tells a process when another one falls silent without closing its connection: a machine or a network that is down.

A process that dies closes its connections, which the others see at once. A machine without power or a cut cable closes
nothing, and everyone would wait in an exchange for hours.
"""

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import torch.distributed as dist

from caffe.errors import CaffeError, first_line

PERIOD_SECONDS = 5
# longer than machines stall when they swap, shorter than anybody likes to wait
LIMIT_SECONDS = 120
# for the connection, and for the first signs of life
PATIENCE = timedelta(minutes=5)


class SignsOfLife:
    """What process `rank` of `count` knows of the others, by counters in a torch.distributed Store.

    The store must be this object's own connection: a thread that waits for a key blocks all requests on its connection.
    """

    def __init__(self, store: dist.Store, rank: int, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._rank, self._clock = store, rank, clock
        self._others = [other for other in range(count) if other != rank]
        self._given = 0
        self._last: dict[int, bytes] = {}
        self._heard: dict[int, float] = {}

    def exchange(self) -> None:
        """Give a sign of life and look for those of the others; waits until each has given its first."""
        self._given += 1
        self._store.set(_key(self._rank), f'{os.getpid()} {self._given}')
        signs = self._store.multi_get([_key(other) for other in self._others])
        for other, sign in zip(self._others, signs):
            if self._last.get(other) != sign:
                self._last[other], self._heard[other] = sign, self._clock()

    def silent(self, limit: float) -> list[int]:
        """The ranks that were heard of once, but not for `limit` seconds."""
        return [rank for rank, heard in list(self._heard.items()) if self._clock() - heard > limit]


def _key(rank: int) -> str:
    return f'caffe/heartbeat/{rank}'


def keep_watch(address: tuple[str, int], rank: int, count: int, end: Callable[[str], object]) -> Callable[[], None]:
    """Call `end(text)`, which must end this process, when another one falls silent; a function that ends the watch.

    `address` (host, port) is that of the TCPStore where all processes met; CaffeError where it does not answer. `end`
    is called from another thread, since the main one waits in an exchange.
    """
    over = threading.Event()
    signs = SignsOfLife(_connect(*address, rank), rank, count)
    # two threads: without a network the first one waits in `exchange`
    for target, more in ((_exchange, ()), (_watch, (f'process {rank} of {count}', end))):
        threading.Thread(target=target, args=(signs, over, *more), name='caffe-heartbeat', daemon=True).start()
    return over.set


def _connect(host: str, port: int, rank: int) -> dist.Store:
    try:
        return dist.TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=PATIENCE)
    except RuntimeError as error:
        raise CaffeError(
            f'process {rank}: the training at {host}:{port} no longer answers ({first_line(error)})'
        ) from None


def _exchange(signs: SignsOfLife, over: threading.Event) -> None:
    try:
        while not over.is_set():
            signs.exchange()
            over.wait(PERIOD_SECONDS)
    except RuntimeError:
        # the store is gone: what that means shows in the next exchange, or in everyone's silence
        pass


def _watch(signs: SignsOfLife, over: threading.Event, name: str, end: Callable[[str], object]) -> None:
    while not over.wait(PERIOD_SECONDS):
        silent = signs.silent(LIMIT_SECONDS)
        if silent:
            end(
                f'{name} stops: nothing was heard of process {", ".join(map(str, silent))} for {LIMIT_SECONDS} s, its '
                'machine or the network is down'
            )
