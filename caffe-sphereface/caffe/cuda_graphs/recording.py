"""A CUDA graph of some work, and what in the memories of blobs has to be as it was when it is replayed.

A graph is a list of kernels with the addresses and the numbers that they were given. Replaying it runs no Python: what
it reads must lie where it lay, and blobs must be told what it has written.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch

from caffe import random
from caffe.blobs.memory import Memory
from caffe.errors import CaffeError, first_line


class Deferring(Protocol):
    """What computes deferred values from something `pending`, which each run sets."""

    pending: Any


class Recording:
    """Work that is captured when this is made: its kernels are noted and not run.

    Of what changes from one time to the next `work` reads and writes `memories` alone. The values of those of
    `lasting` stay where they lie when this is made: others are copied there before each replay. `deferring` are those
    whose `pending` it sets. Raises CaffeError where something in `work` cannot be captured: it has to be done as it is
    written then, with the values that there were before.
    """

    def __init__(
        self,
        work: Callable[[], None],
        device: torch.device,
        memories: Iterable[Memory],
        lasting: Iterable[Memory],
        deferring: Iterable[Deferring],
    ) -> None:
        everything = list(dict.fromkeys(memories))
        before = {memory: (memory.contents()[0], memory.changes) for memory in everything}
        places = [(memory, before[memory][0]) for memory in lasting]
        try:
            self._graph = _captured(work, device)
            if any(_moved(memory, place) for memory, place in places):
                raise CaffeError('a parameter or an input does not stay where it is in memory')
        except CaffeError:
            for memory, place in places:
                memory.restore((place, False, None))
            raise
        stay = {each for each in everything if before[each][0] is not None and each.contents()[0] is before[each][0]}
        self._lasting = list({**dict(places), **{memory: before[memory][0] for memory in stay}}.items())
        self._written = [memory for memory in stay if memory.changes != before[memory][1]]
        self._guarded = [memory for memory in stay if memory.contents()[1]]
        # what the work never touches is left to whoever else writes there
        gone = [each for each in everything if each not in stay and _is_touched(each, *before[each])]
        self._left = [(memory, memory.contents()) for memory in gone]
        self._pending = [(each, each.pending) for each in deferring if each.pending is not None]

    def replay(self) -> None:
        """Do the work again, with the values that memories have by now."""
        for memory in self._written:
            memory.before_change()  # who watches it still reads the old values
        for memory, place in self._lasting:
            assert place is not None
            memory.settle_in(place)
        self._graph.replay()
        for memory in self._written:
            memory.end_change()
        for memory in self._guarded:
            memory.guard()
        for memory, contents in self._left:
            memory.restore(contents)
        for each, pending in self._pending:
            each.pending = pending


def _moved(memory: Memory, place: torch.Tensor | None) -> bool:
    """Whether a memory holds another tensor than `place`; one that was let go of is given it again in every pass."""
    present, _, _ = memory.contents()
    return present is not None and present is not place


def _is_touched(memory: Memory, tensor: torch.Tensor | None, changes: int) -> bool:
    """Whether anything has happened to a memory that held `tensor` after so many changes."""
    present, _, source = memory.contents()
    return present is not tensor or source is not None or memory.changes != changes


def _captured(work: Callable[[], None], device: torch.device) -> torch.cuda.CUDAGraph:
    generator = random.generator(device)
    state = generator.get_state()
    graph = torch.cuda.CUDAGraph()
    try:
        graph.register_generator_state(generator)
        # a capture that fails leaves its own stream behind as the current one; other threads go on uploading batches
        with torch.cuda.stream(torch.cuda.current_stream()):
            with torch.cuda.graph(graph, capture_error_mode='thread_local'):
                work()
    except RuntimeError as error:
        random.renew(device, state)  # whatever the capture has left the old one in
        cause = error.__context__ or error  # the end of a capture that has failed says nothing of why
        raise CaffeError(first_line(cause)) from cause
    return graph
