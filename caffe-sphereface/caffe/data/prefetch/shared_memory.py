"""Memory for one batch that several processes see."""

import mmap
import os
import weakref
from collections.abc import Callable
from math import prod

import torch


class SharedBuffer:
    """Memory that this process and its copies see; it grows to the largest batch.

    It is no file in /dev/shm, where containers have 64 MB.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create('caffe-data')
        weakref.finalize(self, os.close, self._file).atexit = False
        self._pages: mmap.mmap | bytes = b''

    def views(
        self, shape: tuple[int, ...], dtype: torch.dtype, on_return: Callable[[], object] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(data, labels): tensors of `shape` and of shape[:1] in this memory; OSError where there is not enough of it.

        `on_return` is called once nothing refers to them, or to a view of them.
        """
        start = -(-4 * shape[0] // 64) * 64
        end = start + prod(shape) * dtype.itemsize
        if end > len(self._pages):
            # unlike a file that was only made longer, this fails where memory is short, and never makes it shorter
            os.posix_fallocate(self._file, 0, end)
            # mapped at once: page by page, the first look at a batch takes several times as long as copying it
            self._pages = mmap.mmap(self._file, end, mmap.MAP_SHARED | getattr(mmap, 'MAP_POPULATE', 0))
        window = memoryview(self._pages)[:end]
        if on_return:
            weakref.finalize(window, on_return).atexit = False
        memory = torch.frombuffer(window, dtype=torch.uint8)
        return memory[start:].view(dtype).view(shape), memory[: 4 * shape[0]].view(torch.float32)
