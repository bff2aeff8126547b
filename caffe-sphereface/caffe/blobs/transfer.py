"""Copies from the host to a GPU that nobody waits for."""

# PyTorch keeps pinned memory for ever; what is larger than this (bytes) is not worth it
MOST_PINNED = 1 << 26


def to_device(tensor, device):
    """A tensor on `device`. From the host to a GPU it goes by way of pinned memory, so that the host can go on at once.

    A copy from ordinary memory would wait until the GPU has done everything that it was given before.
    """
    if tensor.device == device or device.type == 'cpu' or tensor.numel() * tensor.element_size() > MOST_PINNED:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
