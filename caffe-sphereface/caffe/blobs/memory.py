"""The memory of blobs: one float32 array with a host and a device side, which several blobs may share."""

import weakref
from math import prod
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from caffe.errors import CaffeError
from caffe.process_state import state

_CPU = torch.device('cpu')
# PyTorch keeps pinned memory for ever; what is larger than this (bytes) is not worth it
_MOST_PINNED = 1 << 26

Shape = tuple[int, ...]
# what a memory holds, as `contents` gives it: the tensor, whether it is lent, who computes deferred values
Contents = tuple['torch.Tensor | None', bool, 'Source | None']


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on `device`. From the host to a GPU it goes by way of pinned memory, so that the host can go on at once.

    A copy from ordinary memory would wait until the GPU has done everything that it was given before.
    """
    if tensor.device == device or device.type == 'cpu' or tensor.numel() * tensor.element_size() > _MOST_PINNED:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Source(Protocol):
    """Who computes deferred values."""

    def settle(self) -> None:
        """Compute the values and set them."""


class Watcher(Protocol):
    """Who uses values that it does not own."""

    def before_change(self) -> None:
        """Called before the values change: the last moment to use them."""


class HostCopy:
    """A GPU's values on the host, which numpy views show.

    `is_newest` says that Python may have written to it since a layer read it last; `stamp` is the Stamp of the values
    on the GPU that it equals, None where that is not known.
    """

    __slots__ = ('values', 'is_newest', 'stamp')

    def __init__(self, values: torch.Tensor) -> None:
        self.values, self.is_newest = values, False
        self.stamp: Stamp | None = None


class Memory:
    """One float32 array that may live on the CPU or on a GPU and may be shared by several blobs.

    Who writes what:

    - `set` gives new values by reference, without a copy. While a numpy view of the present memory is alive somewhere
      they are copied into it, because such views follow the blob.
    - `changing` is the one way to write into the tensor that `get` gives.
    - `lend` shows a tensor that its owner goes on changing: it is copied as soon as Python asks for a view.
    - `numpy` gives Python a view to write through at any time, without a further call. On the CPU it is the tensor's
      memory itself; from a GPU it is a copy, the newest values from then on until a layer reads or writes anew.

    What inference that leaves layers out may rely on:

    - `defer(source)` leaves the values to `source.settle()`, which is called once somebody reads them, and sets them.
      Setting anything else before drops that: the deferred values are no longer needed. A memory with a living view
      must not be deferred (`viewed`), since Python would read through it without asking.
    - `watch(watcher)` has `watcher.before_change()` called before each change by `set`, `clear`, `changing` and before
      each `numpy`. Who deferred values that depend on this memory settles them there, from the old values.
    - `stamp()` tells later whether anything of that has happened, and whether PyTorch counts a change of the tensor in
      place. Weights folded from parameters are right as long as the stamps of all of them hold. There is no stamp of
      values that can change unseen, through a living view.
    """

    __slots__ = (
        '_tensor',
        '_lent',
        '_view',
        '_host',
        '_buffer',
        '_source',
        '_watchers',
        '_changes',
    )

    def __init__(self) -> None:
        self._tensor: torch.Tensor | None = None  # the values, None while they are all zero or deferred
        self._lent = False  # `_tensor` is somebody else's
        self._view: weakref.ref[npt.NDArray[np.float32]] | None = None  # the numpy view on the CPU
        self._host: HostCopy | None = None
        self._buffer: torch.Tensor | None = None  # memory kept for `accumulator`
        self._source: Source | None = None
        self._watchers: weakref.WeakSet[Watcher] | None = None
        self._changes = 0  # counts `before_change`, for stamps

    # -- reading and writing ------------------------------------------------------------------------------------------

    def get(self, shape: Shape, device: torch.device) -> torch.Tensor:
        """The values as a tensor of `shape` on `device`, zeros where nothing was written; not to be written into."""
        if self._source is not None:
            self._source.settle()
        tensor, host = self._tensor, self._host
        from_host = host is not None and host.is_newest
        if tensor is not None and not from_host and tensor.shape == shape and tensor.device == device:
            return tensor
        if host is not None and from_host:
            tensor, host.is_newest = host.values, False
        elif tensor is not None and tensor.device != _CPU and not state.gpu_works:
            raise state.lost_gpu()
        if tensor is None or tensor.numel() != prod(shape):
            tensor, from_host = _zeros(shape, device), False
        tensor = (to_device if from_host else torch.Tensor.to)(tensor, device).reshape(shape)
        self._tensor = tensor
        if host is not None:
            host.stamp = self.stamp() if from_host and tensor.device != _CPU else None
        return tensor

    def set(self, tensor: torch.Tensor) -> None:
        """Take new values: by reference, or by copy where a numpy view must follow."""
        self._source = None
        self.before_change()
        if self._tensor is not None and self.viewed() and self._tensor.numel() == tensor.numel():
            if self._tensor.data_ptr() != tensor.data_ptr():
                self._tensor.copy_(tensor.reshape(self._tensor.shape))
        else:
            self._tensor = tensor
            self._lent = False
        self._forget_host()

    def changing(self, shape: Shape, device: torch.device) -> 'Change':
        """A context with the tensor of `shape` on `device`, which may be written into until it ends."""
        return Change(self, shape, device)

    def begin_change(self, shape: Shape, device: torch.device) -> torch.Tensor:
        """The tensor, once those who rely on its values know that they change; `end_change` must follow."""
        tensor = self.get(shape, device)
        self.before_change()
        if self._lent:
            tensor = self._tensor = tensor.clone()
            self._lent = False
        return tensor

    def end_change(self) -> None:
        """Let no stamp hold that was taken meanwhile: operators that PyTorch runs on lists leave no other trace."""
        self._changes += 1

    def lend(self, tensor: torch.Tensor) -> None:
        """Take values that somebody else owns and changes later: they are copied once Python asks for a view."""
        if self._tensor is not tensor or self._source is not None:
            self.set(tensor)
        self._lent = self._tensor is tensor
        if self._host is not None:
            self._host.stamp = None

    def guard(self) -> None:
        """Let the present tensor stay as it is for somebody who uses it: it is copied once it would be written into."""
        self._lent = True

    def clear(self) -> None:
        """Make everything zero, without touching memory unless a numpy view must follow."""
        self._source = None
        self.before_change()
        if self._tensor is not None and self.viewed():
            self._tensor.zero_()
        else:
            self._tensor = None
            self._lent = False
        self._forget_host()

    def is_clear(self) -> bool:
        """True when nothing was written since creation or `clear` and there is no view to write through."""
        return self._tensor is None and not (self._host is not None and self._host.is_newest)

    def accumulator(self, shape: Shape, device: torch.device) -> tuple[torch.Tensor, bool]:
        """(tensor, fresh): the values to add to in place, in memory kept for that; void when `fresh`."""
        fresh = self.is_clear()
        if self._buffer is None or self._buffer.numel() != prod(shape) or self._buffer.device != device:
            self._buffer = torch.empty(shape, device=device)
        if not fresh:
            current = self.get(shape, device)
            if self.viewed() or current.data_ptr() == self._buffer.data_ptr():
                return current, False
            self._buffer.view(shape).copy_(current)
        self.set(self._buffer)
        return self.get(shape, device), fresh

    def _forget_host(self) -> None:
        if self._host is not None:
            self._host.is_newest = False

    # -- for Python ---------------------------------------------------------------------------------------------------

    def numpy(self, shape: Shape, device: torch.device) -> npt.NDArray[np.float32]:
        """A writable numpy array of `shape`: the memory itself on the CPU, a synchronised host copy for a GPU."""
        is_mirrored = self._host is not None and self._host.stamp is not None and self._host.stamp.holds()
        self.before_change()
        if device.type == 'cpu':
            return self._cpu_view(shape)
        host = self._host
        if host is None or not host.is_newest or host.values.numel() != prod(shape):
            current = self.get(shape, device)
            if host is None or host.values.numel() != current.numel():
                host, is_mirrored = HostCopy(torch.empty(shape)), False
                self._host = host
            if not is_mirrored:
                host.values.view(shape).copy_(current)
            host.is_newest = True
        return host.values.view(shape).numpy()

    def _cpu_view(self, shape: Shape) -> npt.NDArray[np.float32]:
        view = self._view() if self._view else None
        tensor = self.get(shape, _CPU)
        if view is None or view.shape != tuple(shape) or view.ctypes.data != tensor.data_ptr():
            if self._lent or not tensor.is_contiguous():
                tensor = self._tensor = tensor.clone(memory_format=torch.contiguous_format)
                self._lent = False
            view = tensor.numpy()
            self._view = weakref.ref(view)
        return view

    def viewed(self) -> bool:
        """Whether Python holds a view, through which the values can change at any time."""
        return self._view is not None and self._view() is not None

    # -- for passes that are replayed ---------------------------------------------------------------------------------

    @property
    def changes(self) -> int:
        """Counts what was announced of changes."""
        return self._changes

    @property
    def is_on_host(self) -> bool:
        """Whether a GPU's values are those that Python was shown last, and go back to it with the next read."""
        return self._host is not None and self._host.is_newest

    def contents(self) -> Contents:
        """What it holds, by reference, for `restore`."""
        return self._tensor, self._lent, self._source

    def restore(self, contents: Contents) -> None:
        """Hold again what it once held, whose values are others by now."""
        self._tensor, self._lent, self._source = contents
        self._changes += 1
        self._forget_host()

    def settle_in(self, place: torch.Tensor) -> None:
        """Let the values lie in `place`, a tensor of their shape, from here on: they are copied where they do not."""
        host = self._host
        if self._tensor is place and self._source is None and not self.is_on_host:
            return
        values = self.get(place.shape, place.device)
        is_mirrored = host is not None and host.stamp is not None and host.stamp.holds()
        self.before_change()
        if values is not place:
            place.copy_(values)
        self._tensor, self._lent = place, False
        if host is not None and is_mirrored:
            host.stamp = self.stamp()

    # -- for inference that leaves layers out -------------------------------------------------------------------------

    def defer(self, source: Source) -> None:
        """Leave the values to `source`, and let those until then go. Nobody may hold a view of them."""
        self._source = source
        self._tensor = None
        self._lent = False
        self._forget_host()

    def is_deferred_to(self, source: Source) -> bool:
        """Whether the values are still what `source` will set."""
        return self._source is source

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher`, for as long as it lives, before the values change or may be changed from Python."""
        if self._watchers is None:
            self._watchers = weakref.WeakSet()
        self._watchers.add(watcher)

    def before_change(self) -> None:
        """Let watchers use the present values for the last time."""
        self._changes += 1
        if self._watchers:
            for watcher in list(self._watchers):
                watcher.before_change()

    def stamp(self) -> 'Stamp | None':
        """A Stamp of the present values; None where their changes cannot be told."""
        tensor = self._tensor
        if tensor is None or (self._host is not None and self._host.is_newest):
            return None
        if self.viewed() or tensor.is_inference():
            return None
        return Stamp(self, tensor, self._changes)


class Change:
    """The context of Memory.changing; a class, since a generator would cost as much as a small operator."""

    __slots__ = ('_memory', '_shape', '_device')

    def __init__(self, memory: Memory, shape: Shape, device: torch.device) -> None:
        self._memory, self._shape, self._device = memory, shape, device

    def __enter__(self) -> torch.Tensor:
        return self._memory.begin_change(self._shape, self._device)

    def __exit__(self, *failure: object) -> None:
        self._memory.end_change()


class Stamp:
    """Tells whether a Memory was touched: written to, shown to Python for writing, or given other values."""

    __slots__ = ('_memory', '_tensor', '_version', '_changes')

    def __init__(self, memory: Memory, tensor: torch.Tensor, changes: int) -> None:
        self._memory, self._tensor = memory, tensor
        self._version, self._changes = tensor._version, changes

    def holds(self) -> bool:
        """Whether nothing happened to the values, nor can without being noticed here."""
        memory, tensor = self._memory, self._tensor
        return memory._changes == self._changes and tensor._version == self._version and memory._tensor is tensor


def _zeros(shape: Shape, device: torch.device) -> torch.Tensor:
    try:
        return torch.zeros(shape, device=device)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        raise CaffeError(
            f'no memory for a blob of shape {tuple(shape)} ({4 * prod(shape)} bytes), expected a smaller one'
        ) from None
