"""One function of a tensor for a chain of layers: weights folded, rounded and packed once.

A chain is a Convolution, an InnerProduct, a BatchNorm with running statistics or a Scale, then BatchNorms and Scales,
and a ReLU or PReLU at the end, of which all but the first may be missing.
"""

import torch
import torch.nn.functional as F

from caffe import precision


def computation(layers, shape):
    """A function from the bottom's tensor of that shape to the top's, over weights folded and packed once."""
    weight, bias = _folded(layers)
    activate = _activation(layers[-1])
    if layers[0].type == 'Convolution':
        compute = _packed_convolution(layers, weight, bias, shape)
        if compute and layers[-1].type == 'ReLU':
            return compute
        compute = compute or _convolution(layers[0], weight, bias)
    elif layers[0].type == 'InnerProduct':
        compute = _product(weight, bias)
    else:
        compute = _affine(weight, bias, len(shape))
    return (lambda x: activate(compute(x))) if activate else compute


def _activation(layer):
    """What the last layer does to values that nobody else has; None where it is no activation."""
    if layer.type == 'PReLU':
        slope = layer.blobs[0].tensor.reshape(-1)
        return lambda y: torch.prelu(y, slope)
    if layer.type == 'ReLU':
        slope = layer.param.relu_param.negative_slope
        return (lambda y: F.leaky_relu_(y, slope)) if slope else torch.relu_
    return None


def _packed_convolution(layers, weight, bias, shape):
    """The convolution by oneDNN with a ReLU in it where the last layer is one.

    None on GPUs, and where PyTorch has no such kernels or they are wrong.
    """
    weight, bias = precision.rounded(weight, bias)
    slope = layers[-1].param.relu_param.negative_slope
    relu = 'none' if layers[-1].type != 'ReLU' else 'leaky_relu' if slope else 'relu'
    activation = relu, [slope] if relu == 'leaky_relu' else [], ''
    try:
        kernel = _packed_rows(layers[0], weight, bias, shape, activation) or _packed_windows(
            layers[0], weight, bias, shape, activation
        )
    except (AttributeError, NotImplementedError, RuntimeError):
        return None
    return (lambda x: kernel(x.bfloat16()).float()) if kernel and precision.is_bf16() else kernel


def _packed_windows(layer, weight, bias, shape, activation):
    if layer.is_narrow(shape):
        return None
    stride, pad, dilation, *_, group = layer.geometry
    packed = torch.ops.mkldnn._reorder_convolution_weight(weight, pad, stride, dilation, group, list(shape))
    kernel = torch.ops.mkldnn._convolution_pointwise.default
    settings = pad, stride, dilation, group, *activation
    return lambda x: kernel(x, packed, bias, *settings)


def _packed_rows(layer, weight, bias, shape, activation):
    """A convolution of single places as a product of their channels, which costs less a call; None for windows."""
    # nor has it a pad: windows that fit into one are not folded
    stride, *_, group = layer.geometry
    if group != 1 or {*weight.shape[2:], *stride} != {1}:
        return None
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.flatten(1), shape[0] * shape[2] * shape[3])
    kernel = torch.ops.mkldnn._linear_pointwise.default
    return lambda x: kernel(x.permute(0, 2, 3, 1), packed, bias, *activation).permute(0, 3, 1, 2)


def _convolution(layer, weight, bias):
    weight, bias = precision.rounded(weight, bias)
    return lambda x: precision.convolution(layer.laid_out(x), weight, bias, layer.geometry)


def _product(weight, bias):
    (matrix,) = precision.rounded(weight.t())
    return lambda x: precision.product(x.reshape(len(x), -1), matrix, bias)


def _affine(factor, shift, axes):
    """factor · x + shift for each channel of tensors with so many axes."""
    behind = [1] * (axes - 2)
    factor, shift = factor.reshape(-1, *behind), shift.reshape(-1, *behind)
    return lambda x: torch.addcmul(shift, x, factor)


def _folded(layers):
    """(weight, bias) of one layer that does what the first and the BatchNorms and Scales behind it do.

    Where the first is one of these, the weight is a factor for each channel.
    """
    weight, bias = _factors(layers[0])
    for layer in layers[1:]:
        if layer.type not in ('BatchNorm', 'Scale'):
            break
        factor, shift = _factors(layer)
        weight, bias = weight * factor.reshape(-1, *[1] * (weight.dim() - 1)), bias * factor + shift
    return weight.float(), bias.float()


def _factors(layer):
    """(weight, bias) of a layer's own, in double precision; rows of the weight are outputs."""
    if layer.type == 'BatchNorm':
        mean, variance = layer.running_statistics()
        factor = (variance.double() + layer.eps).rsqrt()
        return factor, -mean.double() * factor
    weight, *bias = [blob.tensor.double() for blob in layer.blobs]
    if layer.type == 'InnerProduct' and layer.transpose:
        weight = weight.t()
    return weight, bias[0] if bias else weight.new_zeros(len(weight))
