"""The networks of the benchmark as NetParameters: for inference with a batch size, for training with a loss."""

import os
from pathlib import Path

from sphereslim.engine import caffe
from sphereslim.net.prototxt import read_net

ROOT = Path(__file__).resolve().parents[2]
L, P = caffe.layers, caffe.params
SHARED = Path(os.environ.get('SHARED', ROOT.parent / 'shared'))
MOBILE = 'mobilefacenet' if (SHARED / 'data' / 'mobilefacenet').is_dir() else 'mobilenet-10'
CLASSES = 1000


def inference_net(name, batch):
    """The deploy net called `name` with inputs of `batch` pictures."""
    net = _read(name, 'deploy')
    for layer in net.layer:
        if layer.type == 'Input':
            for shape in layer.input_param.shape:
                shape.dim[0] = batch
    return net


def training_net(name, batch):
    """The net called `name` over Input layers `data` and `label`, ending in a SoftmaxWithLoss.

    Nets that exist for inference only get a classifier of 1000 classes, and batch statistics in their BatchNorms.
    """
    deploy = inference_net(name, batch)
    shape = list(next(layer for layer in deploy.layer if layer.type == 'Input').input_param.shape[0].dim)
    source = _read(name, 'train') if (ROOT / 'prototxt' / name / 'train.prototxt').is_file() else _with_loss(deploy)
    net = type(source)(name=name)
    inputs = net.layer.add(name='data', type='Input', top=['data', 'label'])
    inputs.input_param.shape.add(dim=shape)
    inputs.input_param.shape.add(dim=[batch])
    for layer in source.layer:
        if layer.bottom and layer.type != 'Accuracy':
            copy = net.layer.add()
            copy.CopyFrom(layer)
            copy.batch_norm_param.ClearField('use_global_stats')
    return net


def weights_of(name):
    """The published weights of a net as a path, or None where there are none."""
    path = SHARED / 'data' / name / f'{name}.caffemodel'
    return str(path) if path.is_file() else None


def _read(name, kind):
    if name == 'googlenet':
        return _googlenet()
    published = SHARED / 'data' / name / f'{kind}.prototxt'
    return read_net(str(published if published.is_file() else ROOT / 'prototxt' / name / f'{kind}.prototxt'))


def _with_loss(deploy):
    net = type(deploy)()
    net.CopyFrom(deploy)
    while net.layer[-1].type == 'Softmax':
        del net.layer[-1]
    last = net.layer[-1]
    if last.type != 'InnerProduct' or last.inner_product_param.num_output != CLASSES:
        last = net.layer.add(name='classifier', type='InnerProduct', bottom=[last.top[0]], top=['classifier'])
        last.inner_product_param.num_output = CLASSES
        last.inner_product_param.weight_filler.type = 'xavier'
    net.layer.add(name='loss', type='SoftmaxWithLoss', bottom=[last.top[0], 'label'], top=['loss'])
    return net


# output channels of each inception module (Szegedy et al. 2015, table 1): 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool
_INCEPTIONS = {
    '3a': (64, 96, 128, 16, 32, 32),
    '3b': (128, 128, 192, 32, 96, 64),
    '4a': (192, 96, 208, 16, 48, 64),
    '4b': (160, 112, 224, 24, 64, 64),
    '4c': (128, 128, 256, 24, 64, 64),
    '4d': (112, 144, 288, 32, 64, 64),
    '4e': (256, 160, 320, 32, 128, 128),
    '5a': (256, 160, 320, 32, 128, 128),
    '5b': (384, 192, 384, 48, 128, 128),
}


def _googlenet():
    """GoogLeNet of 224x224 without its auxiliary classifiers."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={'dim': [1, 3, 224, 224]})
    top = _convolution(n, 'conv1', n.data, 64, 7, stride=2, pad=3)
    n.pool1 = L.Pooling(top, pool=P.Pooling.MAX, kernel_size=3, stride=2)
    n.norm1 = L.LRN(n.pool1, local_size=5, alpha=1e-4, beta=0.75)
    top = _convolution(n, 'conv2_reduce', n.norm1, 64, 1)
    top = _convolution(n, 'conv2', top, 192, 3, pad=1)
    n.norm2 = L.LRN(top, local_size=5, alpha=1e-4, beta=0.75)
    top = n.pool2 = L.Pooling(n.norm2, pool=P.Pooling.MAX, kernel_size=3, stride=2)
    for stage, channels in _INCEPTIONS.items():
        top = _inception(n, f'inception_{stage}', top, channels)
        if stage in ('3b', '4e'):
            top = n[f'pool_{stage}'] = L.Pooling(top, pool=P.Pooling.MAX, kernel_size=3, stride=2)
    n.pool5 = L.Pooling(top, pool=P.Pooling.AVE, global_pooling=True)
    n.classifier = L.InnerProduct(n.pool5, num_output=CLASSES, weight_filler={'type': 'xavier'})
    return n.to_proto()


def _inception(n, name, bottom, channels):
    one, reduce3, three, reduce5, five, pooled = channels
    branch1 = _convolution(n, f'{name}/1x1', bottom, one, 1)
    branch3 = _convolution(n, f'{name}/3x3', _convolution(n, f'{name}/3x3_reduce', bottom, reduce3, 1), three, 3, pad=1)
    branch5 = _convolution(n, f'{name}/5x5', _convolution(n, f'{name}/5x5_reduce', bottom, reduce5, 1), five, 5, pad=2)
    n[f'{name}/pool'] = L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=3, stride=1, pad=1)
    branch0 = _convolution(n, f'{name}/pool_proj', n[f'{name}/pool'], pooled, 1)
    n[f'{name}/output'] = L.Concat(branch1, branch3, branch5, branch0)
    return n[f'{name}/output']


def _convolution(n, name, bottom, outputs, kernel, **settings):
    n[name] = L.Convolution(bottom, num_output=outputs, kernel_size=kernel, weight_filler={'type': 'msra'}, **settings)
    n[f'{name}/relu'] = L.ReLU(n[name], in_place=True)
    return n[name]
