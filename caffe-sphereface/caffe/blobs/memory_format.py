"""How tensors of pictures lie in memory: always (N, C, H, W) by shape, on the CPU often with the channels innermost.

The CPU's kernels for convolution, pooling and normalisation run faster on that layout and hand it on, so that it
spreads from convolutions through a net. Nobody sees it: Python's views of blobs are made contiguous on looking.
"""

import torch


def channels_inside(tensor):
    """The same values with the channels innermost where that is faster: pictures on the CPU."""
    if tensor.dim() == 4 and tensor.device.type == 'cpu':
        return plainly_laid_out(tensor.contiguous(memory_format=torch.channels_last))
    return tensor


def channels_outside(tensor):
    """The same values in the order of the shape, with strides that say so where sizes of 1 would allow others too."""
    return tensor.contiguous().view(-1).view(tensor.shape)


def plainly_laid_out(tensor):
    """The same memory, where a batch of one picture has the stride between pictures that a larger one has.

    Any stride does for one picture, and `reshape` gives such even to the same shape; but kernels then take the channels
    for outermost and bring everything into that order first.
    """
    if tensor.dim() == 4 and len(tensor) == 1 and tensor.stride(0) != tensor.numel():
        return tensor.as_strided(tensor.shape, (tensor.numel(), *tensor.stride()[1:]))
    return tensor


def lies_channels_inside(tensor):
    """Whether a tensor of pictures has its channels innermost and no other order."""
    return tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


def laid_out_like(tensor, other):
    """The values of `tensor` in the order in memory of `other`, so that kernels over both run along memory."""
    if tensor.stride() == other.stride() or tensor.shape != other.shape:
        return tensor
    return tensor.contiguous(
        memory_format=torch.channels_last if lies_channels_inside(other) else torch.contiguous_format
    )
