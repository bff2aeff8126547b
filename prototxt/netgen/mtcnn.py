"""The three face detection networks of MTCNN (Zhang et al. 2016), for their published weights.

Pictures come in as (x - 127.5) / 128 in RGB and transposed (width before height), as the published weights expect.
"""

from netgen.layers import convolution, dropout, inner_product, layer, max_pool, network_input, neuron

# kernel of the convolution, its filters, kernel of the pooling after its PReLU (None: no pooling)
RNET = ((3, 28, 3), (3, 48, 3), (2, 64, None))
ONET = ((3, 32, 3), (3, 64, 3), (3, 64, 2), (2, 128, None))


def pnet():
    """det1: proposals, fully convolutional; conv4-1 face or not (softmax prob1), conv4-2 the box's corrections."""
    items = [network_input([1, 3, 12, 12]), *_stage(1, 'data', 3, 10, 2, 'PReLU')]
    items += [*_stage(2, 'pool1', 3, 16, None, 'PReLU'), *_stage(3, 'conv2', 3, 32, None, 'PReLU')]
    for name, outputs in (('conv4-1', 2), ('conv4-2', 4)):
        items.append(convolution(name, 'conv3', outputs, kernel=1, pad=0))
    return [*items, layer('prob1', 'Softmax', 'conv4-1')]


def rnet():
    """det2: refinement of 24x24 candidates; conv5-1 face or not (prob1), conv5-2 the box's corrections."""
    items, bottom = _trunk(24, RNET)
    items += [inner_product('conv4', bottom, 128), neuron('prelu4', 'conv4', 'PReLU')]
    return [*items, *_outputs('conv4', {'conv5-1': 2, 'conv5-2': 4})]


def onet():
    """det3: 48x48 candidates; conv6-1 face or not (prob1), conv6-2 the box's corrections, conv6-3 five landmarks."""
    items, bottom = _trunk(48, ONET)
    items += [inner_product('conv5', bottom, 256), dropout('drop5', 'conv5', 0.25), neuron('prelu5', 'conv5', 'PReLU')]
    return [*items, *_outputs('conv5', {'conv6-1': 2, 'conv6-2': 4, 'conv6-3': 10})]


def _stage(index, bottom, kernel, filters, pool, neuron_name='prelu'):
    name = f'conv{index}'
    items = [convolution(name, bottom, filters, kernel, pad=0), neuron(f'{neuron_name}{index}', name, 'PReLU')]
    return items + [max_pool(f'pool{index}', name, kernel=pool)] if pool else items


def _trunk(size, stages):
    items, bottom = [network_input([1, 3, size, size])], 'data'
    for index, (kernel, filters, pool) in enumerate(stages, start=1):
        items += _stage(index, bottom, kernel, filters, pool)
        bottom = items[-1].top[0]
    return items, bottom


def _outputs(bottom, heads):
    items = [inner_product(name, bottom, outputs) for name, outputs in heads.items()]
    return [*items, layer('prob1', 'Softmax', items[0].name)]


NETS = {'det1': ('PNet', pnet), 'det2': ('RNet', rnet), 'det3': ('ONet', onet)}
