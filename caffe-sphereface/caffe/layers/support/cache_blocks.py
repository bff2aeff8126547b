"""Work on big tensors piece by piece, so that what lies between two steps stays in the processor's caches."""

MOST_VALUES = 1 << 20  # of the first tensor in a piece: 4 MiB


def pieces(*tensors):
    """Tuples of views, each of a few rows (first axis) of all `tensors`; everything at once if small or on a GPU."""
    first = tensors[0]
    if first.device.type != 'cpu' or first.numel() <= MOST_VALUES:
        return [tensors]
    rows = max(1, MOST_VALUES * len(first) // first.numel())
    return zip(*(tensor.split(rows) for tensor in tensors))
