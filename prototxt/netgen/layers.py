"""One function per kind of layer; each returns a LayerParameter whose top has the layer's own name.

Neurons work in place: their top is their bottom.
"""

from sphereslim.engine import caffe_pb2

XAVIER = {'type': 'xavier'}
MSRA = {'type': 'msra'}
SMALL_GAUSSIAN = {'type': 'gaussian', 'std': 0.01}
ZERO = {'type': 'constant', 'value': 0}

WEIGHT = {'lr_mult': 1, 'decay_mult': 1}
BIAS = {'lr_mult': 2, 'decay_mult': 0}
FROZEN = {'lr_mult': 0, 'decay_mult': 0}


def layer(name, kind, bottom=(), top=None, **fields):
    """A LayerParameter; `bottom` and `top` are a blob name or a list of them, `top` is by default the layer's name."""
    bottoms = [bottom] if isinstance(bottom, str) else list(bottom)
    tops = [top or name] if isinstance(top or name, str) else list(top)
    return caffe_pb2.LayerParameter(name=name, type=kind, bottom=bottoms, top=tops, **fields)


def images(batch, crop=None, resize=None):
    """ImageData giving `data`, (x - 127.5) / 128 in BGR, and `label`; `source` and `root_folder` are to be changed."""
    transform = {'scale': 1 / 128, 'mirror': True, 'mean_value': [127.5] * 3}
    source = {'source': 'train.txt', 'root_folder': 'faces/', 'batch_size': batch, 'shuffle': True}
    if crop:
        transform['crop_size'] = crop
    if resize:
        source |= {'new_height': resize, 'new_width': resize}
    return layer('data', 'ImageData', top=['data', 'label'], transform_param=transform, image_data_param=source)


def network_input(shape):
    """Input giving `data` of shape (N, C, H, W)."""
    return layer('data', 'Input', input_param={'shape': [{'dim': shape}]})


def convolution(name, bottom, filters, kernel=3, stride=1, pad=1, group=1, filler=XAVIER, bias=BIAS):
    """A square convolution; `bias` is its ParamSpec or None for no bias."""
    settings = {'num_output': filters, 'kernel_size': [kernel], 'stride': [stride], 'weight_filler': filler}
    if pad:
        settings['pad'] = [pad]
    if group > 1:
        settings['group'] = group
    return layer(name, 'Convolution', bottom, param=_params(bias), convolution_param=settings | _bias(bias))


def inner_product(name, bottom, outputs, filler=XAVIER, bias=BIAS):
    """A fully connected layer; `bias` as in `convolution`."""
    settings = {'num_output': outputs, 'weight_filler': filler}
    return layer(name, 'InnerProduct', bottom, param=_params(bias), inner_product_param=settings | _bias(bias))


def _params(bias):
    return [WEIGHT, bias] if bias else [WEIGHT]


def _bias(bias):
    return {'bias_filler': ZERO} if bias else {'bias_term': False}


def neuron(name, blob, kind):
    """PReLU, ReLU or another function of single values, in place."""
    return layer(name, kind, blob, blob)


def batch_norm(names, blob):
    """BatchNorm and the Scale that goes with it, in place; `names` are those of the two layers."""
    norm = layer(names[0], 'BatchNorm', blob, blob, param=[FROZEN] * 3)
    scale = layer(names[1], 'Scale', blob, blob, param=[{'lr_mult': 1, 'decay_mult': 0}] * 2)
    scale.scale_param.bias_term = True
    return [norm, scale]


def total(name, bottoms):
    """The sum of blobs of one shape."""
    return layer(name, 'Eltwise', bottoms, eltwise_param={'operation': 'SUM'})


def max_pool(name, bottom, kernel=2):
    """Maxima over square windows; Caffe rounds the output's size up."""
    return layer(name, 'Pooling', bottom, pooling_param={'pool': 'MAX', 'kernel_size': kernel, 'stride': 2})


def global_average(name, bottom):
    """The mean of every channel, N x C x 1 x 1."""
    return layer(name, 'Pooling', bottom, pooling_param={'pool': 'AVE', 'global_pooling': True})


def dropout(name, blob, ratio=0.5):
    """Dropout in place."""
    return layer(name, 'Dropout', blob, blob, dropout_param={'dropout_ratio': ratio})


def softmax_loss(bottom):
    """The cross entropy of `bottom` against `label`."""
    return layer('softmax_loss', 'SoftmaxWithLoss', [bottom, 'label'])


def accuracy(bottom):
    """The share of a batch whose largest output is that of the label."""
    return layer('accuracy', 'Accuracy', [bottom, 'label'])
