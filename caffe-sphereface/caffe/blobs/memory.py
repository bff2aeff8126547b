"""The memory of blobs: one float32 array with a host and a device side, which several blobs may share."""

import weakref
from math import prod

import torch

from caffe.errors import CaffeError

_CPU = torch.device('cpu')
# PyTorch keeps pinned memory for ever; what is larger than this (bytes) is not worth it
_MOST_PINNED = 1 << 26


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on `device`. From the host to a GPU it goes by way of pinned memory, so that the host can go on at once.

    A copy from ordinary memory would wait until the GPU has done everything that it was given before.
    """
    if tensor.device == device or device.type == 'cpu' or tensor.numel() * tensor.element_size() > _MOST_PINNED:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Memory:
    """One float32 array that may live on the CPU or on a GPU and may be shared by several blobs.

    On the CPU the numpy view that Python sees and the tensor that layers see are the same memory. A GPU's host copy is
    made when Python asks for it and counts as the newest from then on, until a layer reads it or writes anew. It is not
    made again where the GPU still has the values that were read from it.
    Assigning a tensor rebinds it without a copy, unless a numpy view of the present memory is still alive somewhere:
    then the values are copied into it, because such views follow the blob.

    Values can be deferred to a `source` whose `settle()` sets them once somebody reads them. Watchers are told by
    `before_change()` before the values may change.
    """

    __slots__ = (
        '_tensor',
        '_host',
        '_host_is_newest',
        '_host_stamp',
        '_view',
        '_lent',
        '_buffer',
        '_source',
        '_watchers',
        '_changes',
    )

    def __init__(self):
        self._tensor = None  # the values, None while they are all zero or deferred
        self._host = None  # a GPU's copy on the host, which numpy views show
        self._host_is_newest = False  # Python may have written to that copy since a layer read it last
        self._host_stamp = None  # Stamp of the values on the GPU that the copy has as well, None where unknown
        self._view = None  # weak reference to the numpy view on the CPU
        self._lent = False  # `_tensor` is somebody else's: copied before Python sees it
        self._buffer = None  # memory kept for `accumulator`
        self._source = None  # who sets deferred values
        self._watchers = None  # who is told before a change
        self._changes = 0  # counts `before_change`, for stamps

    def get(self, shape, device):
        """The values as a tensor of `shape` on `device`; zeros where nothing was written yet."""
        if self._source is not None:
            self._source.settle()
        tensor = self._tensor
        if tensor is not None and not self._host_is_newest and tensor.shape == shape and tensor.device == device:
            return tensor
        from_host = self._host_is_newest
        if from_host:
            tensor = self._host
            self._host_is_newest = False
        if tensor is None or tensor.numel() != prod(shape):
            tensor, from_host = _zeros(shape, device), False
        tensor = (to_device if from_host else torch.Tensor.to)(tensor, device).reshape(shape)
        self._tensor = tensor
        self._host_stamp = self.stamp() if from_host and tensor.device != _CPU else None
        return tensor

    def set(self, tensor):
        """Take new values: by reference, or by copy where a numpy view must follow."""
        self._source = None
        self.before_change()
        if self.viewed() and self._tensor is not None and self._tensor.numel() == tensor.numel():
            if self._tensor.data_ptr() != tensor.data_ptr():
                self._tensor.copy_(tensor.reshape(self._tensor.shape))
        else:
            self._tensor = tensor
            self._lent = False
        self._host_is_newest = False

    def lend(self, tensor):
        """Take values that somebody else owns and changes later: they are copied once Python asks for a view."""
        if self._tensor is not tensor or self._source is not None:
            self.set(tensor)
        self._lent = self._tensor is tensor
        self._host_stamp = None

    def clear(self):
        """Make everything zero, without touching memory unless a numpy view must follow."""
        self._source = None
        self.before_change()
        if self.viewed() and self._tensor is not None:
            self._tensor.zero_()
        else:
            self._tensor = None
            self._lent = False
        self._host_is_newest = False

    def accumulator(self, shape, device):
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

    def is_clear(self):
        """True when nothing was written since creation or `clear` and nobody holds a view to write through."""
        return self._tensor is None and not self._host_is_newest

    def numpy(self, shape, device):
        """A writable numpy array of `shape`: the memory itself on the CPU, a synchronised host copy for a GPU."""
        is_mirrored = self._host_stamp is not None and self._host_stamp.holds()
        self.before_change()
        if device.type == 'cpu':
            return self._cpu_view(shape)
        if not self._host_is_newest or self._host.numel() != prod(shape):
            current = self.get(shape, device)
            if self._host is None or self._host.numel() != current.numel():
                self._host, is_mirrored = torch.empty(shape), False
            if not is_mirrored:
                self._host.view(shape).copy_(current)
            self._host_is_newest = True
        return self._host.view(shape).numpy()

    def _cpu_view(self, shape):
        view = self._view() if self._view else None
        tensor = self.get(shape, _CPU)
        if view is None or view.shape != tuple(shape) or view.ctypes.data != tensor.data_ptr():
            if self._lent or not tensor.is_contiguous():
                tensor = self._tensor = tensor.clone(memory_format=torch.contiguous_format)
                self._lent = False
            view = tensor.numpy()
            self._view = weakref.ref(view)
        return view

    def viewed(self):
        """Whether Python holds a view, through which the values can change at any time."""
        return self._view is not None and self._view() is not None

    # -- values that depend on others ---------------------------------------------------------------------------------

    def defer(self, source):
        """Leave the values to `source.settle()`, which sets them; setting anything else drops that.

        The values until then are let go. Nobody may hold a view of them.
        """
        self._source = source
        self._tensor = None
        self._lent = self._host_is_newest = False

    def is_deferred_to(self, source):
        """Whether the values are still what `source` will set."""
        return self._source is source

    def watch(self, watcher):
        """Call `watcher.before_change()` whenever the values are about to change or may be changed from Python."""
        if self._watchers is None:
            self._watchers = weakref.WeakSet()
        self._watchers.add(watcher)

    def before_change(self):
        """Let watchers use the present values for the last time."""
        self._changes += 1
        if self._watchers:
            for watcher in list(self._watchers):
                watcher.before_change()

    def stamp(self):
        """A Stamp of the present values; None where nobody can tell when they change."""
        if self._tensor is None or self._host_is_newest or self.viewed() or self._tensor.is_inference():
            return None
        return Stamp(self)


class Stamp:
    """Tells whether a Memory was touched: written to, shown to Python for writing, or given other values."""

    __slots__ = ('_memory', '_tensor', '_version', '_changes')

    def __init__(self, memory):
        self._memory, self._tensor = memory, memory._tensor
        self._version, self._changes = memory._tensor._version, memory._changes

    def holds(self):
        """Whether nothing happened to the values, nor can without being noticed here."""
        memory, tensor = self._memory, self._tensor
        return memory._changes == self._changes and memory._tensor is tensor and tensor._version == self._version


def _zeros(shape, device):
    try:
        return torch.zeros(shape, device=device)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        raise CaffeError(
            f'no memory for a blob of shape {tuple(shape)} ({4 * prod(shape)} bytes), expected a smaller one'
        ) from None
