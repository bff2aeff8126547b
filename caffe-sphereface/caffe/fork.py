"""What a process does when it is forked (os.fork, multiprocessing's "fork"), so that the child can go on computing.

Only the thread that forks lives on in the child. GNU's OpenMP does not notice, and the child's first parallel loop
would wait for the parent's threads for ever. They are ended before a fork; parent and child start new ones when they
need them, as many as before, and so compute the same numbers. Objects with locks and threads of their own `follow`
forks.
"""

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

import torch


class ForkFollower(Protocol):
    """Something that a fork concerns."""

    def before_fork(self) -> None:
        """Called before the process is forked: take the locks that other threads may hold, in a state that is whole."""

    def after_fork(self, in_child: bool) -> None:
        """Called behind that in both processes: give them back; in the child, do without the threads that are gone."""


_PAUSE_SOFT = 1  # omp_pause_soft of OpenMP 5.0
_followers: weakref.WeakSet[ForkFollower] = weakref.WeakSet()
_forking = threading.RLock()
_told: list[list[ForkFollower]] = []  # a stack: what a signal's handler forks comes between
_lost_threads = False


def follow(follower: ForkFollower) -> None:
    """Tell `follower` of every fork from now on, for as long as it lives."""
    _followers.add(follower)


def _find_pause() -> Callable[[int], int] | None:
    """OpenMP's function that ends its threads, of the library that PyTorch computes with; None where it has none."""
    try:
        return ctypes.CDLL(torch._C.__file__).omp_pause_resource_all
    except (AttributeError, OSError):
        return None


_pause = _find_pause()


def _before() -> None:
    global _lost_threads
    _forking.acquire()
    _lost_threads = _pause is None or _pause(_PAUSE_SOFT) != 0
    _told.append(list(_followers))
    for follower in _told[-1]:
        follower.before_fork()


def _after(in_child: bool) -> None:
    for follower in reversed(_told.pop()):
        follower.after_fork(in_child)
    if in_child:
        # PyTorch replaces another pool of its own in the next call of this kind, and not safely from several threads at
        # once. One thread computes without those that the child may lack, if slower
        torch.set_num_threads(1 if _lost_threads else torch.get_num_threads())
    _forking.release()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(before=_before, after_in_parent=lambda: _after(False), after_in_child=lambda: _after(True))
