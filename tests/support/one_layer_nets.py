"""A net of one layer for each type that readers are asked about: {type: (bottoms, tops, fields, shapes of inputs)}."""

from layer_case import layer, make_net
from random_parameters import randomise

PICTURE = {'x': (1, 4, 6, 8)}
_WINDOW = 'kernel_size: 3 stride: 2 pad: 1'
_BOXES = 'min_size: 30 step: 8 clip: false flip: true aspect_ratio: 2 variance: [0.1, 0.1, 0.2, 0.2]'

NETS = {
    'AbsVal': '',
    'ArgMax': 'argmax_param { axis: 1 }',
    'BN': 'bn_param { bn_mode: INFERENCE }',
    'BNLL': '',
    'BatchNorm': '',
    'Bias': '',
    'Clip': 'clip_param { min: -0.5 max: 0.5 }',
    'Convolution': f'convolution_param {{ num_output: 6 {_WINDOW} }}',
    'ConvolutionDepthwise': f'convolution_param {{ num_output: 4 {_WINDOW} }}',
    'Deconvolution': f'convolution_param {{ num_output: 6 {_WINDOW} }}',
    'DepthwiseConvolution': f'convolution_param {{ num_output: 4 {_WINDOW} }}',
    'Dropout': '',
    'ELU': '',
    'FixedNeuron': '',
    'ConvolutionFixed': f'convolution_param {{ num_output: 6 {_WINDOW} }}',
    'DeconvolutionFixed': f'convolution_param {{ num_output: 6 {_WINDOW} }}',
    'InnerProductFixed': 'inner_product_param { num_output: 3 }',
    'SeLu': '',
    'SeLuDropout': '',
    'Exp': '',
    'Flatten': '',
    'Flip': 'flip_param { flip_width: true }',
    'Im2col': f'convolution_param {{ {_WINDOW} }}',
    'InnerProduct': 'inner_product_param { num_output: 3 }',
    'Interp': 'interp_param { height: 11 width: 15 }',
    'LRN': 'lrn_param { local_size: 3 alpha: 0.5 }',
    'Log': 'log_param { scale: 0.01 shift: 1 }',
    'MVN': '',
    'NormL2': '',
    'Normalize': 'norm_param { across_spatial: false channel_shared: false }',
    'PReLU': '',
    'Permute': 'permute_param { order: [0, 2, 3, 1] }',
    'Pooling': f'pooling_param {{ {_WINDOW} pool: AVE }}',
    'Power': 'power_param { power: 2 scale: 0.5 shift: 3 }',
    'ReLU': 'relu_param { negative_slope: 0.1 }',
    'ReLU6': '',
    'Insanity': '',
    'Reduction': 'reduction_param { axis: 1 operation: MEAN }',
    'Reorg': 'reorg_param { stride: 2 }',
    'Reshape': 'reshape_param { shape { dim: [0, 8, -1, 4] } }',
    'SPP': 'spp_param { pyramid_height: 2 }',
    'Scale': 'scale_param { bias_term: true }',
    'ShuffleChannel': 'shuffle_channel_param { group: 2 }',
    'Sigmoid': '',
    'Softmax': '',
    'Swish': '',
    'TanH': '',
    'Threshold': '',
    'Tile': 'tile_param { axis: 1 tiles: 2 }',
    'Upsample': 'upsample_param { scale: 2 }',
}
# of several bottoms or tops
LARGER = {
    'Axpy': ('f x y', 'z', '', {'f': (1, 4), **PICTURE, 'y': PICTURE['x']}),
    'ChannelScale': ('x s', 'z', '', {**PICTURE, 's': (1, 1, 6, 8)}),
    'Concat': ('x y', 'z', '', {**PICTURE, 'y': (1, 2, 6, 8)}),
    'Crop': ('x y', 'z', 'crop_param { offset: 1 }', {**PICTURE, 'y': (1, 4, 4, 5)}),
    'Eltwise': ('x y', 'z', 'eltwise_param { coeff: [1, -2] }', {**PICTURE, 'y': PICTURE['x']}),
    'Pooling3D': (
        'x',
        'y',
        'pooling3d_param { pool: AVE kernel_size: 3 kernel_depth: 2 stride: 2 temporal_stride: 2 pad: 1 }',
        {'x': (1, 4, 4, 6, 8)},
    ),
    'PriorBox': ('x y', 'z', f'prior_box_param {{ {_BOXES} }}', {'x': (1, 4, 38, 38), 'y': (1, 3, 300, 300)}),
    'ROIPooling': ('x r', 'z', 'roi_pooling_param { pooled_h: 2 pooled_w: 2 }', {**PICTURE, 'r': (1, 5)}),
    'Slice': ('x', 'y z', 'slice_param { slice_point: 1 }', PICTURE),
}


def types():
    """The types that there is a net for."""
    return sorted({*NETS, *LARGER})


def one_layer_net(kind):
    """(text of the net, TEST net with parameters and inputs that make the layer matter)."""
    bottoms, tops, fields, shapes = LARGER.get(kind) or ('x', 'y', NETS[kind], PICTURE)
    text = layer(kind, bottoms, tops, fields)
    net = make_net(text, shapes)
    randomise(net)
    if kind == 'ROIPooling':
        net.blobs['r'].data[...] = [0, 1, 1, 5, 4]
    inputs = ''.join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ dim: {list(shape)} }} }} }}\n'
        for name, shape in shapes.items()
    )
    return inputs + text, net
