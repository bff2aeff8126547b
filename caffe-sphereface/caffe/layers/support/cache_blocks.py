"""Work on big tensors block by block, so that what lies between two steps stays in the processor's caches."""

from collections.abc import Iterable

import torch

MOST_VALUES = 1 << 20  # of the first tensor in a block: 4 MiB


def blocks(*tensors: torch.Tensor) -> Iterable[tuple[torch.Tensor, ...]]:
    """Tuples of views, each of a few rows (first axis) of all `tensors`; all rows if few or on a GPU."""
    first = tensors[0]
    if first.device.type != 'cpu' or first.numel() <= MOST_VALUES:
        return [tensors]
    rows = max(1, MOST_VALUES * len(first) // first.numel())
    return zip(*(tensor.split(rows) for tensor in tensors))
