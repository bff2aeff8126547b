"""Worker processes that are copies of this one.

They are not multiprocessing's, because daemonic processes, such as those of Caffe's own train.py, may not start these.
"""

import contextlib
import gc
import os
import pickle
import signal
import socket
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any, NoReturn

import cv2

from caffe.errors import CaffeError

LONGEST_MESSAGE = 1 << 16  # bytes
_HANDLED = {signal.SIGINT, signal.SIGHUP, signal.SIGTERM}
_NICE = 5  # where a worker and the net share a core the net goes first: it has nobody reading ahead for it


class WorkerProcesses:
    """`count` copies of this process. Each message is taken by one of them, which sends back `answer(message)`.

    They end when this process kills them or ends, however that happens. OSError where they cannot be started.
    """

    def __init__(self, answer: Callable[[Any], object], count: int) -> None:
        # such sockets keep messages whole, and each reaches one of those who wait
        self._socket, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._owner = os.getpid()
        self._children: list[int] = []
        signals = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            for _ in range(count):
                child = os.fork()
                if not child:
                    self._socket.close()  # the last one who holds it is the net's process
                    _live(answer, there, signals)
                self._children.append(child)
        except OSError:
            self.kill()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, signals)
            there.close()

    def send(self, message: object) -> None:
        """Give any one of them a message, which must be picklable and short (LONGEST_MESSAGE)."""
        with contextlib.suppress(OSError):  # all have ended, which shows when an answer is due
            self._socket.send(pickle.dumps(message))

    def has_answered(self, seconds: float = 0) -> bool:
        """Whether an answer is there, or comes within `seconds`; True, too, when all have ended."""
        return bool(wait([self._socket], seconds))

    def receive(self) -> Any:
        """The next answer of any of them. CaffeError when one has ended."""
        while True:
            with contextlib.suppress(ConnectionError):  # all have ended
                if self.has_answered(1) and (message := self._socket.recv(LONGEST_MESSAGE)):
                    return pickle.loads(message)
            for child in self._children:
                end = _end_of(child)
                if end:
                    raise CaffeError(f'worker process {child} has ended unexpectedly ({end})')

    def leave(self) -> None:
        """Let go of them in a copy of the process that they are for, or they would outlive that one."""
        self._socket.close()

    def kill(self) -> None:
        """End them all, and wait until they have ended."""
        if os.getpid() != self._owner:  # a copy of the net's process has come to its end
            return
        self._socket.close()
        for child in self._children:
            if not _end_of(child):
                os.kill(child, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child, 0)


def _live(answer: Callable[[Any], object], pipe: socket.socket, signals: set[int]) -> NoReturn:
    """What a worker process does from its beginning to its end."""
    try:
        for number in _HANDLED:  # they are for the net's process, which may go on for a while and then ends these
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        gc.freeze()  # what was garbage before is the net's process to clear away
        cv2.setNumThreads(0)  # OpenCV's threads did not come along
        os.nice(_NICE)
        while message := pipe.recv(LONGEST_MESSAGE):
            pipe.send(pickle.dumps(answer(pickle.loads(message))))
    finally:
        os._exit(1)


def _end_of(child: int) -> str:
    """How a child process has ended, '' while it lives."""
    try:
        ended, status = os.waitpid(child, os.WNOHANG)
    except ChildProcessError:
        return 'somebody else has waited for it'
    code = os.waitstatus_to_exitcode(status)
    return (f'exit status {code}' if code >= 0 else f'signal {-code}') if ended else ''
