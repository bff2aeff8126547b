"""Random small nets with sums, concats, slices, groups, depthwise convolutions, norms, and all layers of forks."""

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
    'zoom',
    'unpool',
    'regions',
    'gate of places',
    'neuron',
    'head',
    'margin',
    'detector',
)
# moves whose layers have no form in ONNX
NOT_IN_ONNX = ('regions', 'margin')


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
        # not in place, which would write into whatever else reads the blob, as in genuine Caffe
        flat = builder.layer('BatchNorm', [builder.layer('Flatten', [name])])
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
    elif move in _OF_FORKS:
        _OF_FORKS[move](builder, blob, number)
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


def _constant(builder, value, *shape):
    """A blob (2, …) that is one value everywhere, made of the data so that the net has no other input."""
    rest = 3 * SIZE * SIZE // (shape[0] if shape else 1)
    dims = [0, *shape, rest]
    rows = builder.layer('Reshape', ['data'], reshape_param={'shape': {'dim': dims}})
    summed = builder.layer('Reduction', [rows], reduction_param={'axis': len(dims) - 1})
    return builder.layer('Power', [summed], power_param={'scale': 0, 'shift': value})


def _zoom(builder, blob, number):
    """A larger picture, and back to SIZE with four times the channels by Reorg, or by a pooling."""
    name, channels = blob
    fields = {'upsample_param': {'scale': 2}} if number % 2 else {'interp_param': {'height': 10, 'width': 10}}
    large = builder.layer(('Interp', 'Upsample')[number % 2], [name], **fields)
    if number % 3 == 0 and channels % 4 == 0:
        builder.blobs.append([builder.layer('Reorg', [large], reorg_param={'stride': 2}), 4 * channels])
    else:
        kernel = {'kernel_size': 2 + number % 2, 'stride': 2, 'ceil_mode': number % 2 == 1}
        blob[0] = builder.layer('Pooling', [large], pooling_param=kernel)


def _unpool(builder, blob, number):
    """SegNet's pooling and its inverse."""
    tops = [f'pooled{len(builder.net.layer)}', f'mask{len(builder.net.layer)}']
    builder.layer('Pooling', [blob[0]], tops, pooling_param={'kernel_size': 2, 'stride': 2})
    blob[0] = builder.layer('Upsample', tops, upsample_param={'upsample_h': SIZE, 'upsample_w': SIZE})


def _regions(builder, blob, number):
    """Both poolings of regions, of which there are as many as pictures."""
    name, channels = blob
    regions = _constant(builder, number % 2, 5)
    if number % 3 and channels % 4 == 0:
        fields = {'output_dim': channels // 4, 'group_size': 2, 'spatial_scale': 1}
        small = builder.layer('PSROIPooling', [name, regions], psroi_pooling_param=fields)
        fields = {'height': SIZE, 'width': SIZE}
        builder.blobs.append([builder.layer('Interp', [small], interp_param=fields), channels // 4])
    else:
        fields = {'pooled_h': SIZE, 'pooled_w': SIZE}
        blob[0] = builder.layer('ROIPooling', [name, regions], roi_pooling_param=fields)


def _gate_of_places(builder, blob, number):
    """A factor for each place, which all channels share."""
    param = {'num_output': 1, 'kernel_size': [1]}
    gate = builder.layer('Convolution', [builder.pick(number)[0]], convolution_param=param)
    blob[0] = builder.layer('ChannelScale', [blob[0], gate])


def _neuron(builder, blob, number):
    kind, fields = (
        ('Swish', {}),
        ('Clip', {'clip_param': {'min': -0.5, 'max': 0.7}}),
        ('NormL2', {}),
        ('Normalize', {'normalize_param': {}}),
    )[number % 4]
    blob[0] = builder.layer(kind, [blob[0]], **fields)


def _head(builder, blob, number):
    """Cosines between unit vectors and unit centres, or distances from centres."""
    flat = builder.layer('Flatten', [blob[0]])
    if number % 3 == 0:
        return builder.layer('InnerDistance', [flat], inner_distance_param={'num_output': 3})
    hidden = builder.layer('InnerProduct', [flat], inner_product_param={'num_output': 6})
    unit = builder.layer('Normalize', [hidden], normalize_param={})
    fields = {'num_output': 3, 'normalize': True, 'bias_term': False}
    return builder.layer('InnerProduct', [unit], inner_product_param=fields)


def _margin(builder, blob, number):
    """A margin on cosines, some of which there are in the phase TEST, too."""
    cosines = _head(builder, blob, 1)
    kind = ('LabelSpecificAdd', 'CosinAddm', 'CombinedMargin')[number % 3]
    fields = {'combined_margin_param': {'m1': 1, 'm2': 0.3, 'm3': 0.2}} if kind == 'CombinedMargin' else {}
    builder.heads.append(builder.layer(kind, [cosines, _constant(builder, 1)], **fields))


def _detector(builder, blob, number):
    """SSD's head over a map: an output of its own, as the number of rows follows from what is found."""
    name = blob[0]
    parts = []
    for outputs in (4, 3):
        conv = builder.layer('Convolution', [name], convolution_param={'num_output': outputs, 'kernel_size': [1]})
        moved = builder.layer('Permute', [conv], permute_param={'order': [0, 2, 3, 1]})
        parts.append(builder.layer('Flatten', [moved]))
    rows = builder.layer('Reshape', [parts[1]], reshape_param={'shape': {'dim': [0, -1, 3]}})
    scores = builder.layer('Flatten', [builder.layer('Softmax', [rows], softmax_param={'axis': 2})])
    priors = builder.layer('PriorBox', [name, 'data'], prior_box_param={'min_size': [2]})
    fields = {'num_classes': 3, 'code_type': caffe_pb2.PriorBoxParameter.CENTER_SIZE, 'keep_top_k': 5}
    builder.layer('DetectionOutput', [parts[0], scores, priors], detection_output_param=fields)


_OF_FORKS = {
    'zoom': _zoom,
    'unpool': _unpool,
    'regions': _regions,
    'gate of places': _gate_of_places,
    'neuron': _neuron,
    'head': lambda *of: of[0].heads.append(_head(*of)),
    'margin': _margin,
    'detector': _detector,
}


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


def nets_of(*left_out):
    """NETS without some moves."""
    moves = [move for move in MOVES if move not in left_out]
    steps = st.tuples(st.sampled_from(moves), st.integers(0, 11), st.integers(0, 11))
    return st.lists(steps, min_size=2, max_size=9).map(build)


NETS = nets_of()
