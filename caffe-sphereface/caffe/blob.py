"""The Blob: an N-dimensional float32 array of data and another of its diff, with a host and a device side."""

import weakref
from math import prod

import numpy as np
import torch

from caffe import mode
from caffe.errors import CaffeError

_CPU = torch.device('cpu')
# the limits of genuine Caffe
MOST_AXES, MOST_VALUES = 32, 2**31 - 1


class Memory:
    """One float32 array that may live on the CPU or on a GPU and may be shared by several blobs.

    On the CPU the numpy view that Python sees and the tensor that layers see are the same memory. A GPU's host copy is
    made when Python asks for it and counts as the newest from then on, until a layer reads it or writes anew.
    Assigning a tensor rebinds it without a copy, unless a numpy view of the present memory is still alive somewhere:
    then the values are copied into it, because such views follow the blob.

    Values can be deferred to a `source` whose `settle()` sets them once somebody reads them. Watchers are told by
    `before_change()` before the values may change.
    """

    __slots__ = ('_tensor', '_host', '_host_is_newest', '_view', '_lent', '_buffer', '_source', '_watchers', '_changes')

    def __init__(self):
        self._tensor = None
        self._host = None
        self._host_is_newest = False
        self._view = None
        self._lent = False
        self._buffer = None
        self._source = None
        self._watchers = None
        self._changes = 0

    def get(self, shape, device):
        """The values as a tensor of `shape` on `device`; zeros where nothing was written yet."""
        if self._source is not None:
            self._source.settle()
        tensor = self._tensor
        if tensor is not None and not self._host_is_newest and tensor.shape == shape and tensor.device == device:
            return tensor
        if self._host_is_newest:
            tensor = self._host
            self._host_is_newest = False
        if tensor is None or tensor.numel() != prod(shape):
            tensor = _zeros(shape, device)
        tensor = tensor.to(device).reshape(shape)
        self._tensor = tensor
        return tensor

    def set(self, tensor):
        """Take new values: by reference, or by copy where a numpy view must follow."""
        self._source = None
        self.before_change()
        if self._viewed() and self._tensor is not None and self._tensor.numel() == tensor.numel():
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

    def clear(self):
        """Make everything zero, without touching memory unless a numpy view must follow."""
        self._source = None
        self.before_change()
        if self._viewed() and self._tensor is not None:
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
            if self._viewed() or current.data_ptr() == self._buffer.data_ptr():
                return current, False
            self._buffer.view(shape).copy_(current)
        self.set(self._buffer)
        return self.get(shape, device), fresh

    def is_clear(self):
        """True when nothing was written since creation or `clear` and nobody holds a view to write through."""
        return self._tensor is None and not self._host_is_newest

    def numpy(self, shape, device):
        """A writable numpy array of `shape`: the memory itself on the CPU, a synchronised host copy for a GPU."""
        self.before_change()
        if device.type == 'cpu':
            return self._cpu_view(shape)
        if not self._host_is_newest:
            current = self.get(shape, device)
            if self._host is None or self._host.numel() != current.numel():
                self._host = torch.empty(shape)
            self._host = self._host.reshape(shape).copy_(current)
            self._host_is_newest = True
        return self._host.reshape(shape).numpy()

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

    def _viewed(self):
        return self._view is not None and self._view() is not None

    # -- values that depend on others ---------------------------------------------------------------------------------

    def defer(self, source):
        """Leave the values to `source.settle()`, which sets them; setting anything else drops that."""
        self._source = source

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
        if self._tensor is None or self._host_is_newest or self._viewed() or self._tensor.is_inference():
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
        raise CaffeError(f'no memory for a blob of shape {tuple(shape)} ({4 * prod(shape)} bytes), expected a smaller '
                         'one') from None


def _checked(shape, name):
    """`shape`; CaffeError before anything is allocated where it cannot be that of a blob."""
    if min(shape, default=0) < 0:
        raise CaffeError(f"blob '{name}': cannot take shape {shape}, expected dimensions of at least 0")
    if len(shape) > MOST_AXES:
        raise CaffeError(f"blob '{name}': has {len(shape)} axes, expected at most {MOST_AXES}")
    if prod(shape) > MOST_VALUES:
        raise CaffeError(f"blob '{name}': shape {shape} makes {prod(shape)} values, expected at most {MOST_VALUES}")
    return shape


class Blob:
    """Data and diff of one shape.

    Layers use the torch side: `tensor`, `grad`, `add_grad`, `keep`. Python users see numpy: `data` and `diff` are
    writable views that outlive the net, without copies on the CPU.
    """

    __slots__ = ('_shape', '_data', '_diff', 'name', '__weakref__')

    def __init__(self, *shape, name=''):
        self._shape = _checked(tuple(int(s) for s in shape), name)
        self._data = Memory()
        self._diff = Memory()
        self.name = name

    @property
    def shape(self):
        """The dimensions, outermost first, as a tuple of ints."""
        return self._shape

    def reshape(self, *dims):
        """Change the dimensions; values are kept when the count stays the same and are zero otherwise."""
        if dims == self._shape:
            return
        shape = tuple(int(d) for d in (dims[0] if len(dims) == 1 and not np.isscalar(dims[0]) else dims))
        if shape != self._shape:
            self._shape = _checked(shape, self.name)

    @property
    def count(self):
        """The number of values."""
        return prod(self._shape)

    def _legacy(self, axis):
        if len(self._shape) > 4:
            raise CaffeError(f"blob '{self.name}' has shape {self._shape}, num to width exist for 4 axes at most")
        return self._shape[axis] if axis < len(self._shape) else 1

    num = property(lambda self: self._legacy(0), doc='The first dimension, 1 where there is none.')
    channels = property(lambda self: self._legacy(1), doc='The second dimension, 1 where there is none.')
    height = property(lambda self: self._legacy(2), doc='The third dimension, 1 where there is none.')
    width = property(lambda self: self._legacy(3), doc='The fourth dimension, 1 where there is none.')

    @property
    def data(self):
        """The values as a writable numpy view."""
        return self._data.numpy(self._shape, mode.device())

    @property
    def diff(self):
        """The gradient as a writable numpy view."""
        return self._diff.numpy(self._shape, mode.device())

    @property
    def tensor(self):
        """The values as a torch tensor on the device that nets run on."""
        return self._data.get(self._shape, mode.device())

    @tensor.setter
    def tensor(self, value):
        self._data.set(value)

    @property
    def grad(self):
        """The diff as a torch tensor on the device that nets run on."""
        return self._diff.get(self._shape, mode.device())

    @grad.setter
    def grad(self, value):
        self._diff.set(value)

    def add_grad(self, value):
        """Add to the diff, as backward does for parameters."""
        self._diff.set(value if self._diff.is_clear() else self.grad + value.reshape(self._shape))

    def add_product(self, a, b):
        """Add the matrix product a · b to the diff, into memory that is used again after each `clear_grad`."""
        total, fresh = self._diff.accumulator(self._shape, mode.device())
        total.view(len(a), -1).addmm_(a, b, beta=0 if fresh else 1)

    def add_rows(self, index, rows):
        """Add `rows` (M, K) to the rows `index` (M) of the diff (N, K); a row may get several."""
        total, fresh = self._diff.accumulator(self._shape, mode.device())
        (total.zero_() if fresh else total).index_add_(0, index, rows)

    def lend_data(self, value):
        """Show a tensor of another blob as the data, without a copy until Python looks at it."""
        self._data.lend(value)

    def lend_grad(self, value):
        """Show a tensor that somebody else goes on changing as the diff, without a copy until Python looks at it."""
        self._diff.lend(value)

    def clear_grad(self):
        """Set the diff to zero."""
        self._diff.clear()

    def keep(self):
        """The values as a tensor that later writes to this blob do not change (for in-place layers)."""
        tensor = self.tensor
        return tensor.clone() if self._data._viewed() else tensor

    def viewed(self):
        """Whether Python holds a view of the data, through which it can change at any time."""
        return self._data._viewed()

    def stamp(self):
        """A Stamp that tells whether the data was touched; None where nobody can tell."""
        return self._data.stamp()

    def watch(self, watcher):
        """Call `watcher.before_change()` whenever the data is about to change."""
        self._data.watch(watcher)

    def before_change(self):
        """To be called before the data's tensor is changed in place."""
        self._data.before_change()

    def defer(self, source):
        """Leave the data to `source.settle()`, which is called once somebody reads it and sets it."""
        self._data.defer(source)

    def is_deferred_to(self, source):
        """Whether the data is still what `source` will set."""
        return self._data._source is source

    def free(self, others):
        """Let go of data and diff, each where none of the blobs `others` shares it."""
        if all(self._data is not other._data for other in others):
            self._data.clear()
        if all(self._diff is not other._diff for other in others):
            self._diff.clear()

    def share_data(self, other):
        """Use the other blob's values as this one's own from now on; the counts must agree."""
        if self._data is not other._data:
            self._data.before_change()
        self._data = other._data

    def share_diff(self, other):
        """Use the other blob's diff as this one's own from now on; the counts must agree."""
        self._diff = other._diff
