"""Initial values of parameters: one function per filler type, from a shape to a tensor."""

import math

import torch

from caffe import random
from caffe.blobs.blob import Blob
from caffe.blobs.memory import Shape
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


def fill(blob: Blob, param: caffe_pb2.FillerParameter, owner: str = '') -> None:
    """Write initial values into a blob as its FillerParameter says.

    `owner` names the layer in errors. Raises CaffeError for an unknown filler type.
    """
    if param.type not in _FILLERS:
        known = ', '.join(sorted(_FILLERS))
        raise CaffeError(f"{owner}: unknown filler '{param.type}', expected one of: {known}")
    if param.sparse >= 0 and param.type != 'gaussian':
        raise CaffeError(f'{owner}: filler {param.type} has sparse, expected it with gaussian only')
    try:
        blob.tensor = _FILLERS[param.type](blob.shape, param)
    except CaffeError as error:
        raise CaffeError(f'{owner}: filler {param.type}: {error}') from None


def _constant(shape: Shape, param: caffe_pb2.FillerParameter) -> torch.Tensor:
    return torch.full(shape, param.value)


def _uniform_between(shape: Shape, low: float, high: float) -> torch.Tensor:
    return torch.empty(shape).uniform_(low, high, generator=random.generator())


def _uniform(shape: Shape, param: caffe_pb2.FillerParameter) -> torch.Tensor:
    if param.min > param.max:
        raise CaffeError(f'min is {param.min:g} and max {param.max:g}, expected min to be at most max')
    return _uniform_between(shape, param.min, param.max)


def _normal(shape: Shape, mean: float, std: float) -> torch.Tensor:
    return torch.empty(shape).normal_(mean, std, generator=random.generator())


def _gaussian(shape: Shape, param: caffe_pb2.FillerParameter) -> torch.Tensor:
    if param.std <= 0:
        raise CaffeError(f'std is {param.std:g}, expected more than 0')
    values = _normal(shape, param.mean, param.std)
    if param.sparse >= 0:
        # `sparse` is the expected number of non-zero weights of each output
        values *= torch.empty(shape).bernoulli_(min(1.0, param.sparse / _outputs(shape)), generator=random.generator())
    return values


def _outputs(shape: Shape) -> int:
    """The length of the first axis, 1 where there is none, as for a slope of PReLU that all channels share."""
    return shape[0] if shape else 1


def _positive_unitball(shape: Shape, param: caffe_pb2.FillerParameter) -> torch.Tensor:
    values = _uniform_between(shape, 0, 1)
    sums = values.reshape(_outputs(shape), -1).sum(1)
    return values / sums.reshape([*shape[:1], *[1] * (len(shape) - 1)])


def _gaussian_unitball(shape: Shape, param: caffe_pb2.FillerParameter) -> torch.Tensor:
    """Rows of length 1 in directions that are all as likely (caffe-windows)."""
    values = _normal(shape, 0, 1)
    lengths = values.reshape(_outputs(shape), -1).norm(dim=1)
    return values / lengths.reshape([*shape[:1], *[1] * (len(shape) - 1)])


def _fan(shape: Shape, param: caffe_pb2.FillerParameter) -> float:
    """The n of Glorot & Bengio 2010 and He et al. 2015: fan in, fan out or their average."""
    count = math.prod(shape)
    fan_in = count / _outputs(shape)
    fan_out = count / (shape[1] if len(shape) > 1 else 1)
    return {param.FAN_IN: fan_in, param.FAN_OUT: fan_out, param.AVERAGE: (fan_in + fan_out) / 2}[param.variance_norm]


def _xavier(shape: Shape, param: caffe_pb2.FillerParameter) -> torch.Tensor:
    bound = math.sqrt(3 / _fan(shape, param))
    return _uniform_between(shape, -bound, bound)


def _msra(shape: Shape, param: caffe_pb2.FillerParameter) -> torch.Tensor:
    return _normal(shape, 0, math.sqrt(2 / _fan(shape, param)))


def _bilinear(shape: Shape, param: caffe_pb2.FillerParameter) -> torch.Tensor:
    """The kernel of bilinear upsampling, for Deconvolution: square, separable, the same for every channel."""
    if len(shape) != 4 or shape[2] != shape[3]:
        raise CaffeError(f'expected square 4-axis weights, got shape {tuple(shape)}')
    factor = (shape[3] + 1) // 2
    centre = (2 * factor - 1 - factor % 2) / (2 * factor)
    line = 1 - (torch.arange(shape[3]) / factor - centre).abs()
    return torch.outer(line, line).expand(shape).clone()


_FILLERS = {
    'constant': _constant,
    'uniform': _uniform,
    'gaussian': _gaussian,
    'positive_unitball': _positive_unitball,
    'gaussian_unitball': _gaussian_unitball,
    'xavier': _xavier,
    'msra': _msra,
    'bilinear': _bilinear,
}
