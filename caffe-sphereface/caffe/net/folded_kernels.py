"""One function of a tensor for a chain of layers: weights folded, rounded and packed once.

A chain is a layer that folds as a convolution, a product or an affine, then affines, and an activation at the end, of
which all but the first may be missing (`Layer.folds_as`).
"""

from collections.abc import Callable

import torch

from caffe import precision
from caffe.blobs.memory import Shape
from caffe.layers.support.registry import Layer
from caffe.layers.vision.convolution import Convolution

Function = Callable[[torch.Tensor], torch.Tensor]
OneDnnActivation = tuple[str, list[float], str]


def computation(layers: list[Layer], shape: Shape) -> Function:
    """A function from the bottom's tensor of that shape to the top's, over weights folded and packed once."""
    first, last = layers[0], layers[-1]
    weight, bias = _folded(layers)
    activate = last.activation() if last.folds_as == 'activation' else None
    if first.folds_as == 'convolution':
        assert isinstance(first, Convolution)
        inside = last.onednn_activation() if activate else None
        compute = _packed_convolution(first, weight, bias, shape, inside)
        if compute and inside:
            return compute
        compute = compute or _convolution(first, weight, bias)
    elif first.folds_as == 'product':
        compute = _product(weight, bias)
    else:
        compute = _affine(weight, bias, len(shape))
    return (lambda x: activate(compute(x))) if activate else compute


def _packed_convolution(
    layer: Convolution, weight: torch.Tensor, bias: torch.Tensor, shape: Shape, inside: tuple[str, list[float]] | None
) -> Function | None:
    """The convolution by oneDNN, with the activation `inside` (name, numbers) in it unless that is None.

    None on GPUs, and where PyTorch has no such kernels or they are wrong.
    """
    weight, bias = precision.rounded(weight, bias)
    activation = *(inside or ('none', [])), ''
    try:
        kernel = _packed_rows(layer, weight, bias, shape, activation) or _packed_windows(
            layer, weight, bias, shape, activation
        )
    except (AttributeError, NotImplementedError, RuntimeError):
        return None
    return (lambda x: kernel(x.bfloat16()).float()) if kernel and precision.is_bf16() else kernel


def _packed_windows(
    layer: Convolution, weight: torch.Tensor, bias: torch.Tensor, shape: Shape, activation: OneDnnActivation
) -> Function | None:
    if layer.is_narrow(shape):
        return None
    stride, pad, dilation, *_, group = layer.geometry
    packed = torch.ops.mkldnn._reorder_convolution_weight(weight, pad, stride, dilation, group, list(shape))
    kernel = torch.ops.mkldnn._convolution_pointwise.default
    settings = pad, stride, dilation, group, *activation
    return lambda x: kernel(x, packed, bias, *settings)


def _packed_rows(
    layer: Convolution, weight: torch.Tensor, bias: torch.Tensor, shape: Shape, activation: OneDnnActivation
) -> Function | None:
    """A convolution of single places as a product of their channels, which costs less a call; None for windows."""
    # nor has it a pad: windows that fit into one are not folded
    stride, *_, group = layer.geometry
    if group != 1 or {*weight.shape[2:], *stride} != {1}:
        return None
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.flatten(1), shape[0] * shape[2] * shape[3])
    kernel = torch.ops.mkldnn._linear_pointwise.default
    return lambda x: kernel(x.permute(0, 2, 3, 1), packed, bias, *activation).permute(0, 3, 1, 2)


def _convolution(layer: Convolution, weight: torch.Tensor, bias: torch.Tensor) -> Function:
    weight, bias = precision.rounded(weight, bias)
    return lambda x: precision.convolution(layer.in_fast_format(x), weight, bias, layer.geometry)


def _product(weight: torch.Tensor, bias: torch.Tensor) -> Function:
    (matrix,) = precision.rounded(weight.t())
    return lambda x: precision.product(x.reshape(len(x), -1), matrix, bias)


def _affine(factor: torch.Tensor, shift: torch.Tensor, axes: int) -> Function:
    """factor · x + shift for each channel of tensors with so many axes."""
    behind = [1] * (axes - 2)
    factor, shift = factor.reshape(-1, *behind), shift.reshape(-1, *behind)
    return lambda x: torch.addcmul(shift, x, factor)


def _folded(layers: list[Layer]) -> tuple[torch.Tensor, torch.Tensor]:
    """(weight, bias) of one layer that does what the first and the affines behind it do.

    Where the first is an affine, too, the weight is a factor for each channel.
    """
    weight, bias = layers[0].linear()
    for layer in layers[1:]:
        if layer.folds_as != 'affine':
            break
        factor, shift = layer.linear()
        weight, bias = weight * factor.reshape(-1, *[1] * (weight.dim() - 1)), bias * factor + shift
    return weight.float(), bias.float()
