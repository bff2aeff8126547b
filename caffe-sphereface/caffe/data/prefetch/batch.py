"""Batches of data layers: filled by workers, handed to the net."""

import threading
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from caffe.errors import CaffeError


@dataclass
class Batch:
    """`data` (N, ...), uint8 or float32, and `labels` (N,), float32, as tensors on the host.

    Their memory may be filled anew when nobody holds them, nor a view of them, any more.
    """

    data: torch.Tensor
    labels: torch.Tensor


class Filling:
    """A batch of `items` in the making.

    `allocate(shape, dtype)` gives the tensors (data, labels), when the first item has said what they look like.
    `waiting` counts the items that are still to come, for those who fill. `failure` is (index of the item, exception)
    of the first item that could not be loaded.
    """

    def __init__(self, items, allocate):
        self.data = self.labels = self.failure = None
        self.items, self.waiting = items, len(items)
        self._allocate = allocate
        self._lock = threading.Lock()

    def fill(self, start, items, load, stopped):
        """Load `items` into the places from `start` on; `stopped()` says that nobody wants them any more."""
        for index, item in enumerate(items, start):
            if stopped():
                return
            try:
                label = load(item, partial(self._slot, index))
                self._label_array[index] = label
            except Exception as failure:
                with self._lock:
                    if self.failure is None or index < self.failure[0]:
                        self.failure = (index, failure)

    def _slot(self, index, shape, dtype):
        """The writable array of item `index`; the first call decides the shape and dtype of all items."""
        with self._lock:
            if self.data is None:
                self._decide(shape, dtype)
        if self._array.shape[1:] != tuple(shape) or self._array.dtype != dtype:
            raise CaffeError(
                f'has shape {tuple(shape)} and type {np.dtype(dtype)}, others of its batch '
                f'{self._array.shape[1:]} and {self._array.dtype}; expected the same (new_height and '
                'new_width, or crop_size, make pictures alike)'
            )
        return self._array[index]

    def _decide(self, shape, dtype):
        kind = torch.uint8 if dtype == np.uint8 else torch.float32
        self.data, self.labels = self._allocate((len(self.items), *shape), kind)
        self._array, self._label_array = self.data.numpy(), self.labels.numpy()
