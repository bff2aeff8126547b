"""Batches on their way to a GPU, copied on a stream of their own while the net computes."""

from collections import deque
from typing import Protocol

import torch

from caffe.data.prefetch.batch import Batch

# batches that the host may hand out before the GPU has used them: enough to keep it busy, few to hold in memory
MOST_AHEAD = 2


class BatchSource(Protocol):
    """What makes batches ahead of time."""

    def is_ready(self) -> bool:
        """Whether `next` gives a batch without a wait or an error."""

    def next(self) -> Batch:
        """The next Batch, complete."""


# a batch on its way: (data, labels), and the event that is reached when they have arrived
_Sent = tuple[list[torch.Tensor], torch.cuda.Event]


class Upload:
    """Takes batches from a prefetcher and hands them out on the GPU that is current when it is made.

    The next batch, once it is complete, starts on its way when the one before is handed out: its copy runs beside what
    the net is given to do then. A batch that comes late starts when it is asked for.
    """

    def __init__(self, prefetcher: BatchSource) -> None:
        self._prefetcher, self._stream = prefetcher, torch.cuda.Stream()
        self._device = torch.device('cuda', torch.cuda.current_device())
        self._coming: _Sent | None = None
        self._begun: deque[torch.cuda.Event] = deque()

    def next(self) -> list[torch.Tensor]:
        """(data, labels) of the next batch, for the stream that runs here; the host does not wait for the copy."""
        here = torch.cuda.current_stream()
        self._hold_back(here)
        tensors, copied = self._coming or self._send(self._prefetcher.next())
        self._coming = self._send(self._prefetcher.next()) if self._prefetcher.is_ready() else None
        here.wait_event(copied)
        for tensor in tensors:
            tensor.record_stream(here)  # or the next batch could be copied over it when it is freed
        return tensors

    def _hold_back(self, here: torch.cuda.Stream) -> None:
        """Wait until the GPU is at most MOST_AHEAD batches behind."""
        self._begun.append(here.record_event())
        if len(self._begun) > MOST_AHEAD:
            self._begun.popleft().synchronize()

    def _send(self, batch: Batch) -> _Sent:
        """Start to copy a batch."""
        # pinning takes 1 % of a step at most, and the workers get the batch's memory back at once
        pinned = batch.data.pin_memory(), batch.labels.pin_memory()
        with torch.cuda.stream(self._stream):
            tensors = [tensor.to(self._device, non_blocking=True) for tensor in pinned]
        return tensors, self._stream.record_event()
