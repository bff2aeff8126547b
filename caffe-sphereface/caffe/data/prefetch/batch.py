"""Batches of data layers: filled by workers, handed to the net."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import torch

from caffe.errors import CaffeError

# what a source has many of: the number of a line, a record, …
Item = TypeVar('Item')
# what an item is labelled with: a number, an array (L,) or (1, H, W) of one shape for all items, or rows (K, W)
Label = float | np.ndarray
# gives the array of a shape and dtype that one item of a batch is written into
NewRow = Callable[[tuple[int, ...], np.dtype], np.ndarray]
# gives the tensors (data, labels) of a batch: data of a shape and dtype, labels of shape[:1] in float32
Allocate = Callable[[tuple[int, ...], torch.dtype], tuple[torch.Tensor, torch.Tensor]]


@dataclass
class Batch:
    """`data` (N, ...), uint8 or float32, and `labels`, float32, as tensors on the host.

    Labels are (N,), or (N, L) where items have L of them, or (N, 1, H, W) where they are pictures. Where an item has
    rows of labels, as those of boxes, they are (R, 1 + W): the item's number in the batch, and its row of W values, for
    all items. Their memory may be filled again once nothing refers to them, or to a view of them.
    """

    data: torch.Tensor
    labels: torch.Tensor


class Filling(Generic[Item]):
    """A batch of `items` that is being filled.

    `allocate` gives the tensors `data` and `labels`, when the first item has said what they look like.
    `waiting` counts the items that are still to come, for those who fill. `failure` is (index of the item, exception)
    of the first item that could not be loaded.
    """

    data: torch.Tensor
    labels: torch.Tensor

    def __init__(self, items: Sequence[Item], allocate: Allocate) -> None:
        self.failure: tuple[int, Exception] | None = None
        self.items, self.waiting = items, len(items)
        self._allocate = allocate
        self._rows: np.ndarray | None = None
        self._label_arrays: dict[int, np.ndarray] = {}  # labels that are not a number each, by the item's index
        self._lock = threading.Lock()

    def fill(
        self,
        start: int,
        items: Sequence[Item],
        load: Callable[[Item, NewRow], Label],
        stopped: Callable[[], bool],
    ) -> None:
        """Load `items` into the rows from `start` on; `stopped()` says that they are no longer wanted."""
        for index, item in enumerate(items, start):
            if stopped():
                return
            try:
                label = load(item, partial(self._row, index))
                if isinstance(label, np.ndarray):
                    self._label_arrays[index] = label
                else:
                    self._label_array[index] = label
            except Exception as failure:
                with self._lock:
                    if self.failure is None or index < self.failure[0]:
                        self.failure = (index, failure)

    def batch(self) -> Batch:
        """The Batch, once all items are loaded."""
        arrays = [self._label_arrays[index] for index in sorted(self._label_arrays)]
        if not arrays:
            return Batch(self.data, self.labels)
        if arrays[0].ndim != 2:
            return Batch(self.data, torch.from_numpy(np.stack(arrays)))
        rows = [np.insert(rows, 0, index, axis=1) for index, rows in enumerate(arrays)]
        return Batch(self.data, torch.from_numpy(np.concatenate(rows)))

    def _row(self, index: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The writable array of item `index`; the first call decides the shape and dtype of all items."""
        with self._lock:
            rows = self._make_rows(shape, dtype) if self._rows is None else self._rows
        if rows.shape[1:] != tuple(shape) or rows.dtype != dtype:
            raise CaffeError(
                f'has shape {tuple(shape)} and type {np.dtype(dtype)}, others of its batch '
                f'{rows.shape[1:]} and {rows.dtype}; expected the same (new_height and '
                'new_width, or crop_size, make pictures alike)'
            )
        return rows[index]

    def _make_rows(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        kind = torch.uint8 if dtype == np.uint8 else torch.float32
        self.data, self.labels = self._allocate((len(self.items), *shape), kind)
        rows = self._rows = self.data.numpy()
        self._label_array = self.labels.numpy()
        return rows
