"""Small nets of kinds that only forks of Caffe know, for inference, as text: phones' nets, gates, detectors."""

FILLERS = 'weight_filler { type: "xavier" }'


def source(*dims):
    return f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: {list(dims)} }} }} }}\n'


def layer(name, kind, bottoms, parameter='', top=None):
    ends = ' '.join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {ends} top: "{top or name}" {parameter} }}\n'


def conv(name, bottom, outputs, kernel=3, stride=1, extra='', kind='Convolution'):
    pad = (kernel - 1) // 2
    return layer(
        name,
        kind,
        bottom,
        f'convolution_param {{ num_output: {outputs} kernel_size: {kernel} stride: {stride} pad: {pad} {extra} }}',
    )


def normed(name, activation='ReLU'):
    """Batch normalisation with learned scale and an activation, in place."""
    return (
        layer(f'{name}/bn', 'BatchNorm', name, top=name)
        + layer(f'{name}/scale', 'Scale', name, 'scale_param { bias_term: true }', top=name)
        + layer(f'{name}/act', activation, name, top=name)
    )


def depthwise(name, bottom, channels, stride=1):
    return conv(name, bottom, channels, 3, stride, f'group: {channels} bias_term: false', 'DepthwiseConvolution')


def inner_product(name, bottom, outputs):
    return layer(name, 'InnerProduct', bottom, f'inner_product_param {{ num_output: {outputs} }}')


def pooling(name, bottom, text):
    return layer(name, 'Pooling', bottom, f'pooling_param {{ {text} }}')


def mobile_face_net():
    """Bottlenecks of depthwise convolutions with PReLU, one around a shortcut, and a global depthwise convolution."""
    text = source(1, 3, 24, 20) + conv('c1', 'data', 8, 3, 2) + normed('c1', 'PReLU')
    for name, bottom in (('b1', 'c1'), ('b2', 'b1_out')):
        text += conv(f'{name}_in', bottom, 12, 1) + normed(f'{name}_in', 'PReLU')
        text += depthwise(f'{name}_dw', f'{name}_in', 12) + normed(f'{name}_dw', 'PReLU')
        text += conv(f'{name}_out', f'{name}_dw', 8, 1)
    text += layer('sum', 'Eltwise', 'b2_out b1_out') + conv('last', 'sum', 16, 1) + normed('last', 'PReLU')
    whole = 'convolution_param { num_output: 16 group: 16 kernel_h: 12 kernel_w: 10 bias_term: false }'
    return text + layer('gdc', 'DepthwiseConvolution', 'last', whole) + inner_product('fc', 'gdc', 6)


def se_resnet():
    """Residual blocks whose branch a squeeze-and-excitation gate scales, joined by Axpy."""
    text = source(1, 3, 16, 16) + conv('c1', 'data', 8, 3, 2) + normed('c1')
    for name, bottom in (('r1', 'c1'), ('r2', 'r1')):
        text += conv(f'{name}_a', bottom, 6, 3) + normed(f'{name}_a') + conv(f'{name}_b', f'{name}_a', 8, 3)
        text += pooling(f'{name}_pool', f'{name}_b', 'pool: AVE global_pooling: true')
        text += conv(f'{name}_down', f'{name}_pool', 4, 1) + layer(f'{name}_relu', 'ReLU', f'{name}_down')
        text += conv(f'{name}_up', f'{name}_relu', 8, 1) + layer(f'{name}_gate', 'Sigmoid', f'{name}_up')
        text += layer(name, 'Axpy', f'{name}_gate {name}_b {bottom}') + layer(f'{name}_act', 'ReLU', name, top=name)
    return text + pooling('pool', 'r2', 'pool: AVE global_pooling: true') + inner_product('fc', 'pool', 6)


def shuffle_net():
    """A unit of grouped convolutions with shuffled channels, after a convolution."""
    text = source(1, 3, 16, 16) + conv('c1', 'data', 8, 3, 2) + normed('c1')
    text += conv('u_in', 'c1', 8, 1, extra='group: 2') + normed('u_in')
    text += layer('u_shuffle', 'ShuffleChannel', 'u_in', 'shuffle_channel_param { group: 2 }')
    text += depthwise('u_dw', 'u_shuffle', 8) + conv('u_out', 'u_dw', 8, 1, extra='group: 2')
    text += layer('u', 'Eltwise', 'u_out c1') + layer('u_act', 'ReLU', 'u', top='u') + conv('c2', 'u', 10, 1)
    text += normed('c2') + pooling('pool', 'c2', 'pool: AVE global_pooling: true')
    return text + inner_product('fc', 'pool', 6)


def dense_net():
    """Layers joined to all before them, with pooling that rounds down."""
    down = 'kernel_size: 3 stride: 2 pad: 1 ceil_mode: false'
    text = source(1, 3, 22, 18) + conv('c1', 'data', 6) + normed('c1') + pooling('pool1', 'c1', f'pool: MAX {down}')
    bottom = 'pool1'
    for i in range(3):
        text += conv(f'x{i}', bottom, 8, 1) + normed(f'x{i}') + conv(f'y{i}', f'x{i}', 4)
        text += layer(f'all{i}', 'Concat', f'{bottom} y{i}')
        bottom = f'all{i}'
    text += conv('half', bottom, 8, 1) + pooling('pool2', 'half', 'pool: AVE kernel_size: 2 stride: 2 ceil_mode: false')
    return text + inner_product('fc', 'pool2', 6)


def retina_face():
    """Scores, boxes and landmarks of two maps, the finer one joined with the coarser by Deconvolution and Crop."""
    text = source(1, 3, 30, 26) + conv('c1', 'data', 8, 3, 2) + normed('c1') + depthwise('dw', 'c1', 8, 2)
    text += normed('dw') + conv('coarse', 'dw', 8, 1) + conv('fine', 'c1', 8, 1)
    up = 'num_output: 8 group: 8 kernel_size: 4 stride: 2 pad: 1 bias_term: false'
    text += layer('up', 'Deconvolution', 'coarse', f'convolution_param {{ {up} }}')
    text += layer('crop', 'Crop', 'up fine', 'crop_param { axis: 2 }') + layer('sum', 'Eltwise', 'fine crop')
    for name, bottom in (('f', 'sum'), ('g', 'coarse')):
        text += conv(f'{name}_context', bottom, 6) + normed(f'{name}_context')
        text += conv(f'{name}_score', f'{name}_context', 4, 1) + conv(f'{name}_box', f'{name}_context', 8, 1)
        text += layer(f'{name}_two', 'Reshape', f'{name}_score', 'reshape_param { shape { dim: [0, 2, -1, 0] } }')
        text += layer(f'{name}_prob', 'Softmax', f'{name}_two')
    return text


def ssd():
    """Boxes and scores of two maps with default boxes, suppressed to a list."""
    last = 'permute_param { order: [0, 2, 3, 1] }'
    text = source(1, 3, 32, 32) + conv('c1', 'data', 8, 3, 4) + normed('c1') + depthwise('dw', 'c1', 8) + normed('dw')
    text += layer('norm', 'Normalize', 'dw', 'norm_param { across_spatial: false channel_shared: false }')
    text += conv('c2', 'dw', 10, 3, 2) + normed('c2')
    for name, size in (('norm', 8), ('c2', 14)):
        text += conv(f'{name}_loc', name, 16) + layer(f'{name}_loc_perm', 'Permute', f'{name}_loc', last)
        text += layer(f'{name}_loc_flat', 'Flatten', f'{name}_loc_perm')
        text += conv(f'{name}_conf', name, 12) + layer(f'{name}_conf_perm', 'Permute', f'{name}_conf', last)
        text += layer(f'{name}_conf_flat', 'Flatten', f'{name}_conf_perm')
        boxes = f'min_size: {size} max_size: {2 * size} aspect_ratio: 2 flip: true variance: [0.1, 0.1, 0.2, 0.2]'
        text += layer(f'{name}_prior', 'PriorBox', f'{name} data', f'prior_box_param {{ {boxes} }}')
    for kind, axis in (('loc_flat', 1), ('conf_flat', 1), ('prior', 2)):
        text += layer(kind, 'Concat', f'norm_{kind} c2_{kind}', f'concat_param {{ axis: {axis} }}')
    text += layer('rows', 'Reshape', 'conf_flat', 'reshape_param { shape { dim: [0, -1, 3] } }')
    text += layer('prob', 'Softmax', 'rows', 'softmax_param { axis: 2 }') + layer('prob_flat', 'Flatten', 'prob')
    found = 'num_classes: 3 code_type: CENTER_SIZE keep_top_k: 20 confidence_threshold: 0.4'
    nms = 'nms_param { nms_threshold: 0.45 top_k: 40 }'
    bottoms = 'loc_flat prob_flat prior'
    return text + layer('found', 'DetectionOutput', bottoms, f'detection_output_param {{ {found} {nms} }}')
