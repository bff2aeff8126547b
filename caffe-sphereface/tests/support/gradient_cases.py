"""Layers for gradient checks: prototxt of each, the shapes of its inputs, and values that it depends on."""

from layer_case import layer

GAUSSIAN = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'

IMAGE = {'x': (2, 4, 6, 5)}

PAIR = {'a': (2, 3, 4), 'b': (2, 3, 4)}

TRIPLE = {**PAIR, 'c': (2, 3, 4)}


def conv(text):
    return f'convolution_param {{ num_output: 6 {GAUSSIAN} {text} }}'


def inner(text):
    return f'inner_product_param {{ num_output: 6 {GAUSSIAN} {text} }}'


SMOOTH = {
    'conv': (layer('Convolution', extra=conv('kernel_size: 3 stride: 2 pad: 1')), IMAGE),
    'conv_group_dilated': (layer('Convolution', extra=conv('kernel_size: 3 group: 2 dilation: 2 pad: 2')), IMAGE),
    'conv_rect': (
        layer('Convolution', extra=conv('kernel_h: 3 kernel_w: 1 pad_h: 1 pad_w: 0 stride_h: 1 stride_w: 2')),
        IMAGE,
    ),
    'conv_two_bottoms': (layer('Convolution', 'x z', 'y v', conv('kernel_size: 2')), {**IMAGE, 'z': IMAGE['x']}),
    'conv_1d': (layer('Convolution', extra=conv('kernel_size: 3')), {'x': (2, 4, 7)}),
    'conv_3d': (
        layer('Convolution', extra=conv('kernel_size: 2 stride: 1 stride: 2 stride: 1')),
        {'x': (1, 2, 3, 4, 3)},
    ),
    'conv_axis_2': (layer('Convolution', extra=conv('axis: 2 kernel_size: 2')), {'x': (2, 2, 3, 4, 3)}),
    'conv_no_space': (layer('Convolution', extra=conv('')), {'x': (3, 4)}),
    'deconv': (layer('Deconvolution', extra=conv('kernel_size: 3 stride: 2 pad: 1 group: 2')), IMAGE),
    'inner_product': (layer('InnerProduct', extra=inner('')), IMAGE),
    'inner_product_axis_2': (layer('InnerProduct', extra=inner('axis: 2')), IMAGE),
    'inner_product_transposed': (layer('InnerProduct', extra=inner('transpose: true')), IMAGE),
    'inner_product_no_bias': (layer('InnerProduct', extra=inner('bias_term: false')), {'x': (3, 4)}),
    'inner_product_given': (layer('InnerProduct', 'x w b', extra=inner('')), {'x': (3, 4), 'w': (6, 4), 'b': (6,)}),
    'average': (layer('Pooling', extra='pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }'), IMAGE),
    'average_wide': (layer('Pooling', extra='pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 2 }'), IMAGE),
    'average_global': (layer('Pooling', extra='pooling_param { pool: AVE global_pooling: true }'), IMAGE),
    'eltwise_sum': (layer('Eltwise', 'a b c', extra='eltwise_param { coeff: 1 coeff: -2 coeff: 0.5 }'), TRIPLE),
    'eltwise_product': (layer('Eltwise', 'a b c', extra='eltwise_param { operation: PROD }'), TRIPLE),
    'eltwise_product_unstable': (
        layer('Eltwise', 'a b c', extra='eltwise_param { operation: PROD stable_prod_grad: false }'),
        TRIPLE,
    ),
    'eltwise_twice_the_same': (layer('Eltwise', 'x x', extra='eltwise_param { operation: PROD }'), IMAGE),
    'concat': (layer('Concat', 'a b', extra='concat_param { axis: -1 }'), {'a': (2, 3, 4), 'b': (2, 3, 2)}),
    'slice': (layer('Slice', 'x', 'p q r', 'slice_param { slice_point: 1 slice_point: 2 }'), IMAGE),
    'split': (
        layer('Power', 'x', 'p', 'power_param { power: 2 }') + layer('Power', 'x', 'q').replace('"layer"', '"second"'),
        IMAGE,
    ),
    'scale': (layer('Scale', extra='scale_param { filler { type: "gaussian" } bias_term: true }'), IMAGE),
    'scale_two': (layer('Scale', 'x s', extra='scale_param { axis: 0 bias_term: true }'), {**IMAGE, 's': (2, 4)}),
    'scale_scalar': (layer('Scale', extra='scale_param { num_axes: 0 bias_term: true }'), IMAGE),
    'scale_rest': (layer('Scale', extra='scale_param { axis: 2 num_axes: -1 filler { type: "gaussian" } }'), IMAGE),
    'bias': (layer('Bias', extra='bias_param { axis: 1 num_axes: 2 }'), IMAGE),
    'bias_two': (layer('Bias', 'x s', extra='bias_param { axis: 2 }'), {**IMAGE, 's': (6, 5)}),
    'flatten': (layer('Flatten', extra='flatten_param { axis: 1 end_axis: 2 }'), IMAGE),
    'reshape': (layer('Reshape', extra='reshape_param { shape { dim: 0 dim: -1 dim: 2 } axis: 1 num_axes: 2 }'), IMAGE),
    'softmax': (layer('Softmax', extra='softmax_param { axis: 2 }'), IMAGE),
    'normalize_l2': (layer('Normalize'), IMAGE),
    'normalize_norm': (layer('Normalize', 'x', 'y n', 'normalize_param { bp_norm: true }'), IMAGE),
    'lrn_across': (layer('LRN', extra='lrn_param { local_size: 3 alpha: 0.5 k: 2 }'), IMAGE),
    'lrn_within': (layer('LRN', extra='lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }'), IMAGE),
    'im2col': (layer('Im2col', extra='convolution_param { kernel_size: 3 stride: 2 pad: 1 dilation: 1 }'), IMAGE),
    'im2col_3d': (layer('Im2col', extra='convolution_param { kernel_size: 2 dilation: 2 }'), {'x': (1, 2, 4, 3, 4)}),
    'crop': (layer('Crop', 'x r', extra='crop_param { axis: 2 offset: 1 offset: 2 }'), {**IMAGE, 'r': (1, 1, 3, 2)}),
    'spp_average': (layer('SPP', extra='spp_param { pyramid_height: 2 pool: AVE }'), IMAGE),
    'mvn': (layer('MVN'), IMAGE),
    'mvn_across': (layer('MVN', extra='mvn_param { across_channels: true }'), IMAGE),
    'mvn_mean': (layer('MVN', extra='mvn_param { normalize_variance: false }'), IMAGE),
    'tile': (layer('Tile', extra='tile_param { axis: 2 tiles: 3 }'), IMAGE),
    'reduce_sum': (layer('Reduction', extra='reduction_param { axis: 2 coeff: 2 }'), IMAGE),
    'reduce_squares': (layer('Reduction', extra='reduction_param { operation: SUMSQ axis: 1 }'), IMAGE),
    'reduce_mean': (layer('Reduction', extra='reduction_param { operation: MEAN axis: -1 coeff: 3 }'), IMAGE),
    'parameter': (
        layer('Parameter', '', 'p', 'parameter_param { shape { dim: 2 dim: 3 dim: 4 } }')
        + layer('Eltwise', 'a p').replace('"layer"', '"sum"'),
        {'a': (2, 3, 4)},
    ),
}

KINKED = {
    'max': (layer('Pooling', extra='pooling_param { kernel_size: 3 stride: 2 }'), IMAGE),
    'max_wide': (layer('Pooling', extra='pooling_param { kernel_size: 3 stride: 2 pad: 2 }'), IMAGE),
    'eltwise_max': (layer('Eltwise', 'a b c', extra='eltwise_param { operation: MAX }'), TRIPLE),
    'normalize_l1': (layer('Normalize', extra='normalize_param { normalize_type: "L1" } true_gradient: true'), IMAGE),
    'spp_max': (layer('SPP', extra='spp_param { pyramid_height: 3 }'), {'x': (2, 2, 8, 8)}),
    'reduce_absolute': (layer('Reduction', extra='reduction_param { operation: ASUM axis: 1 }'), IMAGE),
}
