"""A stand-in for CUDA graphs: what runs while one is captured is noted and has no effect; a replay runs it again.

As with CUDA, a replay runs no Python, has the numbers of the capture, reads and writes the memory of the capture, and
draws from the generators that were registered. What makes the host wait, and any copy between host and device, ends a
capture. What CUDA does not tell is told: a replay refuses memory from before the capture that was given back since, and
what the capture has made holds no numbers until the first replay.
"""

import contextlib
import weakref

import torch
from torch.utils._pytree import tree_flatten

from cuda_tensor import present

REFUSED = 'CUDA error: operation not permitted when stream is capturing'
_aten = torch.ops.aten


class Graph:
    """As torch.cuda.CUDAGraph is; `home` is the stream that what it makes belongs to."""

    def __init__(self):
        self._tape, self._made, self._outside, self._saved, self._generators = [], {}, {}, {}, {}

    def register_generator_state(self, generator):
        """Let what is captured draw from a generator."""
        self._generators[generator._cdata] = generator, generator.get_state()  # operators get other objects of the same

    def refuse(self, what):
        """End the capture."""
        raise RuntimeError(f'{REFUSED} ({what})')

    # -- what runs while it is captured -------------------------------------------------------------------------------

    def before(self, tensors, written, generator=None):
        """Note what an operator is about to read and write."""
        if generator is not None and generator._cdata not in self._generators:
            raise RuntimeError('Offset increment outside graph capture encountered unexpectedly.')
        for x in tensors:
            storage = x.inner.untyped_storage()
            if storage._cdata in self._made:
                continue
            _, was_written = self._outside.get(storage._cdata, (None, False))
            self._outside[storage._cdata] = weakref.ref(x.memory), was_written or id(x) in written
            if id(x) in written and storage._cdata not in self._saved:
                self._saved[storage._cdata] = storage, storage.clone()

    def note(self, operator, args, kwargs, result):
        """Note what an operator was given and gave, as tensors of the host."""
        given = _storages((args, kwargs))
        for x in _tensors(result):
            if x.untyped_storage()._cdata not in given:
                self._made[x.untyped_storage()._cdata] = x
        if not operator._schema.name.startswith(('aten::empty', 'aten::new_empty')):
            self._tape.append((operator, args, kwargs, result))

    def end(self):
        """Undo what the capture did."""
        for storage, before in self._saved.values():
            storage.copy_(before)
        for x in self._made.values():
            if x.is_floating_point():
                x.fill_(torch.nan)
        for generator, before in self._generators.values():
            generator.set_state(before)
        self._saved.clear()

    # -- afterwards ---------------------------------------------------------------------------------------------------

    def replay(self):
        """Run what was captured."""
        device = present[-1]
        memories = [(memory(), written) for memory, written in self._outside.values()]
        if any(memory is None for memory, _ in memories):
            raise RuntimeError('a graph reads or writes memory that was given back')
        for memory, written in memories:
            memory.use(device.stream(), written)
        with torch.utils._python_dispatch._disable_current_modes():
            for operator, args, kwargs, result in self._tape:
                for old, new in zip(_tensors(result), _tensors(operator(*args, **kwargs))):
                    if old.untyped_storage()._cdata != new.untyped_storage()._cdata:
                        old.copy_(new)


def _tensors(tree):
    return [x for x in tree_flatten(tree)[0] if isinstance(x, torch.Tensor)]


def _storages(tree):
    return {x.untyped_storage()._cdata for x in _tensors(tree)}


@contextlib.contextmanager
def capture(graph, capture_error_mode='global', **_):
    """As torch.cuda.graph is: a failure inside is one of the end as well, and leaves the capture's stream behind."""
    device = present[-1]
    device.note('wait')
    graph.home = device.use_stream(torch.cuda.Stream())
    device.graph, is_whole = graph, False
    try:
        yield
        is_whole = True
    finally:
        device.graph = None
        with torch.utils._python_dispatch._disable_current_modes():
            graph.end()
        if not is_whole:
            raise RuntimeError('CUDA error: operation failed due to a previous error during capture')
        device.use_stream(graph.home)
