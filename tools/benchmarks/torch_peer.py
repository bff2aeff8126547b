"""The peer in benchmarks: a torch.nn.Module of a deploy prototxt's network, as one would write it in PyTorch."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Peer(nn.Module):
    """The layers of a NetParameter in order, with the weights of a `caffe.Net` of it; takes and gives tensors.

    Knows Convolution, InnerProduct, BatchNorm with the Scale after it, PReLU, ReLU, Eltwise sums, Pooling, Concat, LRN,
    Dropout, Softmax, MarginInnerProduct (QUADRUPLE) and SoftmaxWithLoss; raises ValueError naming any other layer.
    BatchNorm and Scale become one BatchNorm module. It takes the net's inputs in their order and gives `output`, the
    net's first output by default.
    """

    def __init__(self, param, net, output=None):
        super().__init__()
        self.steps, self.modules_of = [], nn.ModuleList()
        self.inputs, self.output = list(net.inputs), output or net.outputs[0]
        layers = [layer for layer in param.layer if layer.type != 'Input']
        while layers:
            layer, after = layers.pop(0), layers[0] if layers else None
            scale = None
            if layer.type == 'BatchNorm' and after and after.type == 'Scale' and after.bottom[0] == layer.top[0]:
                scale = layers.pop(0)
            self.steps.append((list(layer.bottom), (scale or layer).top[0]))
            self.modules_of.append(_module(layer, scale, net))
        # by step, what no later one reads: a module written by hand would not keep it either
        self.spent, read = [], {self.output}
        for bottoms, _ in reversed(self.steps):
            self.spent.insert(0, set(bottoms) - read)
            read.update(bottoms)
        self.eval()

    def forward(self, *tensors):
        blobs = dict(zip(self.inputs, tensors))
        for (bottoms, top), module, spent in zip(self.steps, self.modules_of, self.spent):
            operands = [blobs[name] for name in bottoms]
            for name in spent:
                del blobs[name]
            blobs[top] = module(*operands)
            del operands
        return blobs[self.output]


class Sum(nn.Module):
    def forward(self, *tensors):
        return sum(tensors[1:], tensors[0])


class Concatenation(nn.Module):
    def forward(self, *tensors):
        return torch.cat(tensors, 1)


class Loss(nn.Module):
    def forward(self, logits, label):
        return F.cross_entropy(logits, label.long())


class AngularMargin(nn.Module):
    """A-Softmax with m = 4 (Liu et al. 2017), as published for PyTorch, with the gradient that autograd gives."""

    def __init__(self, param, weights):
        super().__init__()
        self.weight = nn.Parameter(weights[0])
        self.param = param
        # a tensor: torch.compile would compile anew for every value of a Python number
        self.register_buffer('iteration', torch.zeros(()))

    def forward(self, x, label):
        self.iteration.add_(1)
        p = self.param
        mix = (p.base * (1 + p.gamma * self.iteration) ** -p.power).clamp(min=p.lambda_min)
        length = x.norm(dim=1, keepdim=True)
        cosine = (F.normalize(x) @ F.normalize(self.weight).t()).clamp(-1, 1)
        own = cosine.gather(1, label.long()[:, None])
        k = (4 * own.detach().acos() / math.pi).floor()
        psi = (1 - 2 * (k % 2)) * (8 * own**4 - 8 * own**2 + 1) - 2 * k
        mixed = (mix * own + psi) / (1 + mix)
        return length * cosine.scatter(1, label.long()[:, None], mixed.to(cosine.dtype))


def _module(layer, scale, net):
    weights = _weights(layer, net)
    if layer.type == 'BatchNorm':
        return _batch_norm(layer, scale, weights, net)
    if layer.type not in _BUILDERS:
        raise ValueError(f"layer '{layer.name}' ({layer.type}): the peer knows {', '.join(_BUILDERS)} and BatchNorm")
    module = _BUILDERS[layer.type](layer, weights)
    for parameter, value in zip(module.parameters(), weights):
        parameter.data = value.reshape(parameter.shape)
    return module


def _weights(layer, net):
    return [torch.from_numpy(blob.data.copy()) for blob in net.params[layer.name]] if layer.name in net.params else []


def _convolution(layer, weights):
    p = layer.convolution_param
    kernel = tuple(weights[0].shape[2:])
    return nn.Conv2d(
        weights[0].shape[1] * p.group,
        p.num_output,
        kernel,
        _pair(p, 'stride', 1),
        _pair(p, 'pad', 0),
        tuple(p.dilation) * (3 - len(p.dilation)) if p.dilation else 1,
        p.group,
        bias=len(weights) > 1,
    )


def _pair(param, name, default):
    """(height, width) of a setting given once, per axis, or as *_h and *_w."""
    short = name.removesuffix('_size')
    if param.HasField(f'{short}_h'):
        return getattr(param, f'{short}_h'), getattr(param, f'{short}_w')
    given = getattr(param, name)
    values = list(given) if hasattr(given, '__len__') else [given] if param.HasField(name) else []
    return tuple((values or [default]) * 2)[:2]


def _inner_product(layer, weights):
    rows, columns = weights[0].shape
    return nn.Sequential(nn.Flatten(), nn.Linear(columns, rows, bias=len(weights) > 1))


def _pooling(layer, _):
    p = layer.pooling_param
    if p.global_pooling:
        return nn.AdaptiveMaxPool2d(1) if p.pool == p.MAX else nn.AdaptiveAvgPool2d(1)
    kind = nn.MaxPool2d if p.pool == p.MAX else nn.AvgPool2d
    return kind(_pair(p, 'kernel_size', 1), _pair(p, 'stride', 1), _pair(p, 'pad', 0), ceil_mode=True)


def _batch_norm(layer, scale, weights, net):
    mean, variance, factor = weights
    axes = net.blobs[layer.top[0]].data.ndim
    module = (nn.BatchNorm2d if axes == 4 else nn.BatchNorm1d)(
        len(mean), layer.batch_norm_param.eps, affine=scale is not None
    )
    share = 1 / factor.item() if factor.item() else 0.0
    module.running_mean, module.running_var = mean * share, variance * share
    if scale is not None:
        values = _weights(scale, net)
        module.weight.data, module.bias.data = values[0], values[1] if len(values) > 1 else torch.zeros_like(values[0])
    return module


_BUILDERS = {
    'Convolution': _convolution,
    'InnerProduct': _inner_product,
    'Pooling': _pooling,
    'PReLU': lambda layer, weights: nn.PReLU(weights[0].numel()),
    'ReLU': lambda layer, weights: nn.ReLU(),
    'Eltwise': lambda layer, weights: Sum(),
    'Softmax': lambda layer, weights: nn.Softmax(1),
    'Concat': lambda layer, weights: Concatenation(),
    'LRN': lambda layer, weights: nn.LocalResponseNorm(
        layer.lrn_param.local_size, layer.lrn_param.alpha, layer.lrn_param.beta, layer.lrn_param.k
    ),
    'Dropout': lambda layer, weights: nn.Dropout(layer.dropout_param.dropout_ratio),
    'MarginInnerProduct': lambda layer, weights: AngularMargin(layer.margin_inner_product_param, weights),
    'SoftmaxWithLoss': lambda layer, weights: Loss(),
}
