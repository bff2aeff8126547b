"""Memory formats of pictures: tensors are (N, C, H, W) by shape, on the CPU often channels_last in memory.

The CPU's kernels for convolution, pooling and normalisation run faster on that format and hand it on, so that it
spreads from convolutions through a net. Callers do not see it: Python's views of blobs are contiguous.
"""

import torch

from caffe.process_state import state


def set_gpu_channels_last(wanted: bool) -> None:
    """Whether nets on a GPU keep pictures in channels_last too, which tensor cores read as they are.

    Holds for the whole process from the next pass on; off at first.
    """
    state.gpu_channels_last = wanted


def as_channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """The same values in channels_last where that is wanted: pictures on the CPU, on a GPU where it was chosen."""
    if tensor.dim() == 4 and (tensor.device.type == 'cpu' or state.gpu_channels_last):
        return with_batch_stride(tensor.contiguous(memory_format=torch.channels_last))
    return tensor


def as_contiguous(tensor: torch.Tensor) -> torch.Tensor:
    """The same values in the order of the shape, with strides that say so where sizes of 1 would allow others too."""
    return tensor.contiguous().view(-1).view(tensor.shape)


def with_batch_stride(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory, where a batch of one picture has the stride between pictures that a larger one has.

    Any stride does for one picture, and `reshape` gives such even to the same shape; but kernels then take the tensor
    for contiguous and bring everything into that order first.
    """
    if tensor.dim() == 4 and len(tensor) == 1 and tensor.stride(0) != tensor.numel():
        return tensor.as_strided(tensor.shape, (tensor.numel(), *tensor.stride()[1:]))
    return tensor


def is_channels_last(tensor: torch.Tensor) -> bool:
    """Whether a tensor of pictures is channels_last and not contiguous as well."""
    return tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


def to_format_of(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The values of `tensor` in the memory format of `other`, so that kernels over both run along memory."""
    if tensor.stride() == other.stride() or tensor.shape != other.shape:
        return tensor
    return tensor.contiguous(memory_format=torch.channels_last if is_channels_last(other) else torch.contiguous_format)
