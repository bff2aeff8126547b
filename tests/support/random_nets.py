"""Random small nets with sums, concats, slices, groups, depthwise convolutions and norms."""

from hypothesis import strategies as st
from sphereslim.engine import caffe_pb2

SIZE = 5
MOVES = (
    'conv',
    'conv',
    'grouped',
    'depthwise',
    'deconv',
    'norm',
    'prelu',
    'relu',
    'pool',
    'sum',
    'sum',
    'product',
    'concat',
    'slice',
    'shared',
    'flat',
    'gate',
    'fork depthwise',
    'fork depthwise',
    'shuffle',
    'fork norm',
    'fork norm',
    'resize',
    'axpy',
    'axpy',
    'unit',
)


class Builder:
    """Adds layers one by one; `blobs` lists [name, channels] of the pictures that can be read on, `heads` vectors."""

    def __init__(self):
        self.net = caffe_pb2.NetParameter(name='random')
        self.layer('Input', [], input_param={'shape': [{'dim': [2, 3, SIZE, SIZE]}]})
        self.blobs, self.heads = [], []
        self.conv('data', 8)

    def layer(self, kind, bottoms, tops=None, **fields):
        name = f'{kind.lower()}{len(self.net.layer)}' if bottoms else 'data'
        self.net.layer.add(name=name, type=kind, bottom=bottoms, top=tops or [name], **fields)
        return name

    def conv(self, bottom, outputs, kind='Convolution', group=1, **fields):
        param = {'num_output': outputs, 'group': group, 'kernel_size': [3], 'pad': [1], 'bias_term': outputs % 3 != 0}
        self.blobs.append([self.layer(kind, [bottom], convolution_param=param, **fields), outputs])

    def pick(self, number):
        return self.blobs[number % len(self.blobs)]

    def partner(self, blob, number):
        """Another blob of as many channels, made by a convolution where there is none."""
        same = [b for b in self.blobs if b[1] == blob[1] and b is not blob]
        if not same:
            self.conv(self.pick(number)[0], blob[1])
            return self.blobs[-1]
        return same[number % len(same)]


def build(moves):
    """The NetParameter of a list of (move, number, number)."""
    builder = Builder()
    for move, first, second in moves:
        _play(builder, move, builder.pick(first), second)
    last = builder.layer('Concat', [name for name, _ in builder.blobs])
    hidden = builder.layer('InnerProduct', [last], inner_product_param={'num_output': 6})
    if builder.heads:
        hidden = builder.layer('Concat', [hidden, *builder.heads])
    builder.layer('Normalize', [hidden], [hidden])
    builder.layer('InnerProduct', [hidden], inner_product_param={'num_output': 4, 'transpose': True})
    return builder.net


def _play(builder, move, blob, number):
    name, channels = blob
    if move == 'conv':
        builder.conv(name, (4, 6, 8)[number % 3])
    elif move == 'grouped' and channels % 2 == 0:
        builder.conv(name, (4, 8, 2)[number % 3], ('Convolution', 'Deconvolution')[number % 2], group=2)
    elif move == 'depthwise':
        kind = ('Convolution', 'Deconvolution')[number % 3 == 2]
        builder.conv(name, channels * (1 + number % 2), kind, group=channels)
    elif move == 'deconv':
        builder.conv(name, (4, 6)[number % 2], 'Deconvolution')
    elif move == 'shared':
        pair = builder.partner(blob, number)
        param = [{'name': f'w{len(builder.net.layer)}'}, {'name': f'b{len(builder.net.layer)}'}]
        builder.conv(name, 4, param=param)
        builder.conv(pair[0], 4, param=param)
    elif move in ('sum', 'product'):
        operation = ('PROD', 'SUM', 'MAX')[(move == 'sum') * (1 + number % 2)]
        pair = builder.partner(blob, number)
        blob[0] = builder.layer(
            'Eltwise',
            [name, pair[0]],
            eltwise_param={'operation': caffe_pb2.EltwiseParameter.EltwiseOp.Value(operation)},
        )
    elif move == 'concat':
        other = builder.pick(number)
        builder.blobs.append([builder.layer('Concat', [name, other[0]]), channels + other[1]])
    elif move == 'slice' and channels > 1:
        _slice(builder, blob, number)
    elif move == 'flat':
        flat = builder.layer('Flatten', [name])
        builder.layer('BatchNorm', [flat], [flat])
        builder.heads.append(builder.layer('InnerProduct', [flat], inner_product_param={'num_output': 3}))
    elif move == 'gate':
        pooled = builder.layer('Pooling', [name], pooling_param={'global_pooling': True})
        gate = builder.layer('InnerProduct', [pooled], inner_product_param={'num_output': channels})
        builder.layer('Sigmoid', [gate], [gate])
        blob[0] = builder.layer('Scale', [name, gate], scale_param={'axis': 0})
    elif move == 'fork depthwise':
        _fork_depthwise(builder, blob, number)
    elif move == 'shuffle':
        group = next(g for g in (3, 2, 1) if channels % g == 0)
        blob[0] = builder.layer('ShuffleChannel', [name], shuffle_channel_param={'group': group})
    elif move == 'axpy':
        _axpy(builder, blob, number)
    else:
        _per_channel(builder, blob, move, number)


def _fork_depthwise(builder, blob, number):
    name, channels = blob
    param = {'kernel_size': [3], 'pad': [1], 'stride': [1], 'bias_term': number % 2 == 0}
    if number % 3:
        blob[0] = builder.layer('ConvolutionDepthwise', [name], convolution_param={**param, 'num_output': channels})
    else:
        outputs = channels * (1 + number % 2)
        param |= {'num_output': outputs, 'group': channels}
        builder.blobs.append([builder.layer('DepthwiseConvolution', [name], convolution_param=param), outputs])


def _axpy(builder, blob, number):
    """Squeeze and excitation with the sum of a shortcut at its end."""
    name, channels = blob
    pair = builder.partner(blob, number)
    pooled = builder.layer('Pooling', [name], pooling_param={'global_pooling': True})
    param = {'num_output': channels, 'kernel_size': [1]}
    gate = builder.layer('Convolution', [pooled], convolution_param=param)
    builder.layer('Sigmoid', [gate], [gate])
    blob[0] = builder.layer('Axpy', [gate, name, pair[0]])


def _slice(builder, blob, number):
    name, channels = blob
    point = 1 + number % (channels - 1)
    tops = [f'{name}_a{len(builder.net.layer)}', f'{name}_b{len(builder.net.layer)}']
    even = number % 2 and channels % 2 == 0
    builder.layer('Slice', [name], tops, **({} if even else {'slice_param': {'slice_point': [point]}}))
    sizes = (channels // 2, channels // 2) if even else (point, channels - point)
    builder.blobs.extend([list(pair) for pair in zip(tops, sizes)])


def _per_channel(builder, blob, move, number):
    name = blob[0]
    if move == 'norm':
        blob[0] = builder.layer('BatchNorm', [name])
        builder.layer('Scale', [blob[0]], [blob[0]], scale_param={'bias_term': True})
    elif move == 'prelu':
        blob[0] = builder.layer('PReLU', [name])
    elif move == 'pool':
        blob[0] = builder.layer('Pooling', [name], pooling_param={'kernel_size': 3, 'stride': 1, 'pad': 1})
    elif move == 'fork norm':
        fields = {'eps': 0.1} if number % 2 else {'bn_mode': caffe_pb2.BNParameter.INFERENCE}
        blob[0] = builder.layer('BN', [name], bn_param=fields)
    elif move == 'unit':
        fields = {'across_spatial': number % 2 == 0, 'channel_shared': number % 3 == 0}
        blob[0] = builder.layer('Normalize', [name], norm_param=fields)
    elif move == 'resize':
        kind, fields = (
            ('Interp', {'interp_param': {'height': SIZE, 'width': SIZE}}),
            ('Flip', {}),
            ('Permute', {'permute_param': {'order': [0, 1, 3]}}),
            ('Upsample', {'upsample_param': {'scale': 1}}),
        )[number % 4]
        blob[0] = builder.layer(kind, [name], **fields)
    else:
        blob[0] = builder.layer(('ReLU', 'ReLU6')[number % 2], [name])


NETS = st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 11), st.integers(0, 11)), min_size=2, max_size=9).map(
    build
)
