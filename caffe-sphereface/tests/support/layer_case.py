"""Helpers for tests of layers: small nets from text, filled with random numbers."""

import numpy as np
import torch
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2


def make_net(layers, shapes, phase=caffe.TEST, seed=1, force_backward=True):
    """A net of Input layers (name -> shape) and `layers` (prototxt); inputs are N(0, 1)."""
    caffe.set_random_seed(seed)
    inputs = ''.join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + ' '.join(f'dim: {d}' for d in shape)
        + ' } } }\n'
        for name, shape in shapes.items()
    )
    param = text_format.Parse(inputs + layers, caffe_pb2.NetParameter(force_backward=force_backward))
    net = caffe.Net(param, phase)
    values = np.random.default_rng(seed)
    for name in shapes:
        net.blobs[name].data[...] = values.standard_normal(net.blobs[name].shape)
    return net


def layer(kind, bottoms='x', tops='y', extra=''):
    """The text of one layer named 'layer'; `bottoms` and `tops` are names apart by spaces."""
    ends = ''.join(f'bottom: "{b}" ' for b in bottoms.split()) + ''.join(f'top: "{t}" ' for t in tops.split())
    return f'layer {{ name: "layer" type: "{kind}" {ends} {extra} }}\n'


def run(net, seed=2):
    """Forward, then backward from N(0, 1) diffs of all outputs; those diffs by name."""
    net.clear_param_diffs()
    net.forward()
    values = np.random.default_rng(seed)
    diffs = {name: values.standard_normal(net.blobs[name].shape).astype('f') for name in net.outputs}
    for name, diff in diffs.items():
        net.blobs[name].diff[...] = diff
    net.backward()
    return diffs


def by_name(text, name):
    """The layer text under another name."""
    return text.replace('name: "layer"', f'name: "{name}"')


def output(text, shapes, values, name='y'):
    """One top of a layer for the given values of its inputs."""
    net = make_net(text, shapes)
    for blob, array in values.items():
        net.blobs[blob].data[...] = array
    net.forward()
    return net.blobs[name].data


def assert_like_autograd(net, reference):
    """Tops and diffs of a net from x to y equal those of `reference(x, *parameters)` under autograd."""
    parameters = [torch.tensor(b.data, requires_grad=True) for b in net.params.get('layer', ())]
    x = torch.tensor(net.blobs['x'].data, requires_grad=True)
    dy = run(net)['y']
    y = reference(x, *parameters)
    y.backward(torch.tensor(dy).reshape(y.shape))
    np.testing.assert_allclose(net.blobs['y'].data, y.detach().reshape(net.blobs['y'].shape), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net.blobs['x'].diff, x.grad, rtol=1e-4, atol=1e-5)
    for blob, parameter in zip(net.params.get('layer', ()), parameters):
        np.testing.assert_allclose(blob.diff, parameter.grad, rtol=1e-4, atol=1e-4)
