"""The Blob: an N-dimensional float32 array of data and another of its diff."""

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from caffe import device
from caffe.blobs.memory import Change, Memory, Shape, Source, Stamp, Watcher
from caffe.errors import CaffeError

# the limits of genuine Caffe
MOST_AXES, MOST_VALUES = 32, 2**31 - 1


def _checked(shape: Shape, name: str) -> Shape:
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

    Layers use the torch side: `tensor`, `grad`, `add_grad`, `keep`. A tensor is replaced by assigning another one, and
    written into in one way only:

        with blob.changing() as tensor:
            tensor.mul_(2)

    Python users see numpy: `data` and `diff` are writable views that outlive the net, without copies on the CPU. What
    inference relies on when it leaves blobs out (`stamp`, `watch`, `defer`, `lend_…`) is explained in Memory.
    """

    __slots__ = ('_shape', '_data', '_diff', 'name', '__weakref__')

    def __init__(self, *shape: int, name: str = '') -> None:
        self._shape = _checked(tuple(int(s) for s in shape), name)
        self._data = Memory()
        self._diff = Memory()
        self.name = name

    @property
    def shape(self) -> Shape:
        """The dimensions, outermost first, as a tuple of ints."""
        return self._shape

    def reshape(self, *dims: Any) -> None:
        """Change the dimensions; values are kept when the count stays the same and are zero otherwise."""
        if dims == self._shape:
            return
        shape = tuple(int(d) for d in (dims[0] if len(dims) == 1 and not np.isscalar(dims[0]) else dims))
        if shape != self._shape:
            self._shape = _checked(shape, self.name)

    @property
    def count(self) -> int:
        """The number of values."""
        return prod(self._shape)

    def _legacy(self, axis: int) -> int:
        if len(self._shape) > 4:
            raise CaffeError(f"blob '{self.name}' has shape {self._shape}, num to width exist for 4 axes at most")
        return self._shape[axis] if axis < len(self._shape) else 1

    num = property(lambda self: self._legacy(0), doc='The first dimension, 1 where there is none.')
    channels = property(lambda self: self._legacy(1), doc='The second dimension, 1 where there is none.')
    height = property(lambda self: self._legacy(2), doc='The third dimension, 1 where there is none.')
    width = property(lambda self: self._legacy(3), doc='The fourth dimension, 1 where there is none.')

    @property
    def data(self) -> npt.NDArray[np.float32]:
        """The values as a writable numpy view."""
        return self._data.numpy(self._shape, device.device())

    @property
    def diff(self) -> npt.NDArray[np.float32]:
        """The gradient as a writable numpy view."""
        return self._diff.numpy(self._shape, device.device())

    @property
    def tensor(self) -> torch.Tensor:
        """The values as a torch tensor on the device that nets run on; to be written into by way of `changing` only."""
        return self._data.get(self._shape, device.device())

    @tensor.setter
    def tensor(self, value: torch.Tensor) -> None:
        self._data.set(value)

    @property
    def grad(self) -> torch.Tensor:
        """The diff as a torch tensor on the device that nets run on."""
        return self._diff.get(self._shape, device.device())

    @grad.setter
    def grad(self, value: torch.Tensor) -> None:
        self._diff.set(value)

    def add_grad(self, value: torch.Tensor) -> None:
        """Add to the diff, as backward does for parameters."""
        self._diff.set(value if self._diff.is_clear() else self.grad + value.reshape(self._shape))

    def add_product(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """Add the matrix product a · b to the diff, into memory that is used again after each `clear_grad`."""
        total, fresh = self._diff.accumulator(self._shape, device.device())
        total.view(len(a), -1).addmm_(a, b, beta=0 if fresh else 1)

    def add_rows(self, index: torch.Tensor, rows: torch.Tensor) -> None:
        """Add `rows` (M, K) to the rows `index` (M) of the diff (N, K); a row may get several."""
        total, fresh = self._diff.accumulator(self._shape, device.device())
        (total.zero_() if fresh else total).index_add_(0, index, rows)

    def lend_data(self, value: torch.Tensor) -> None:
        """Show a tensor of another blob as the data, without a copy until Python looks at it."""
        self._data.lend(value)

    def guard_data(self) -> None:
        """Let the tensor of the data stay as it is: whoever writes into the data later does so in a copy."""
        self._data.guard()

    def lend_grad(self, value: torch.Tensor) -> None:
        """Show a tensor that somebody else goes on changing as the diff, without a copy until Python looks at it."""
        self._diff.lend(value)

    def clear_grad(self) -> None:
        """Set the diff to zero."""
        self._diff.clear()

    def keep(self) -> torch.Tensor:
        """The values as a tensor that later writes to this blob do not change (for in-place layers)."""
        tensor = self.tensor
        return tensor.clone() if self._data.viewed() else tensor

    def viewed(self) -> bool:
        """Whether Python holds a view of the data, through which it can change at any time."""
        return self._data.viewed()

    def stamp(self) -> Stamp | None:
        """A Stamp that tells whether the data was touched; None where that cannot be told."""
        return self._data.stamp()

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher.before_change()` whenever the data is about to change."""
        self._data.watch(watcher)

    def changing(self) -> Change:
        """A context in which the tensor that it gives, the data, may be written into."""
        return self._data.changing(self._shape, device.device())

    def defer(self, source: Source) -> None:
        """Leave the data to `source.settle()`, which is called once somebody reads it and sets it."""
        self._data.defer(source)

    def is_deferred_to(self, source: Source) -> bool:
        """Whether the data is still what `source` will set."""
        return self._data.is_deferred_to(source)

    @property
    def data_memory(self) -> Memory:
        """The Memory of the data, the same one in all blobs that share it."""
        return self._data

    def free_data(self) -> None:
        """Let go of the data."""
        self._data.clear()

    @property
    def diff_memory(self) -> Memory:
        """The Memory of the diff, the same one in all blobs that share it."""
        return self._diff

    def share_data(self, other: 'Blob') -> None:
        """Use the other blob's values as this one's own from now on; the counts must agree."""
        if self._data is not other._data:
            self._data.before_change()
        self._data = other._data

    def share_diff(self, other: 'Blob') -> None:
        """Use the other blob's diff as this one's own from now on; the counts must agree."""
        self._diff = other._diff


def set_values(blob: Blob, array: npt.NDArray[Any]) -> None:
    """Put a copy of a numpy array into a blob of the same count."""
    blob.tensor = torch.from_numpy(array.reshape(blob.shape).copy()).to(blob.tensor.device)
