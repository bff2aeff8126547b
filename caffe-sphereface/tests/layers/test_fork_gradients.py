"""Numeric gradient check of the layers that only forks have, with `true_gradient` where it makes a difference."""

import numpy as np
import pytest

import caffe
from gradcheck import check_gradient
from layer_case import layer, make_net

IMAGE = {'x': (2, 4, 6, 5)}
SCORES = {'x': (5, 7), 'label': (5,)}
LABELS = np.array([0, 6, 3, 3, 2])
GAUSSIAN = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 1 }'
ONES = '{ type: "gaussian" std: 1 }'
TRUE = 'true_gradient: true'
rng = np.random.default_rng(3)
COSINES = rng.uniform(-0.95, 0.95, (5, 7))


def conv(text):
    return f'convolution_param {{ {GAUSSIAN} {text} }}'


SMOOTH = {
    'depthwise': (layer('DepthwiseConvolution', extra=conv('num_output: 8 group: 4 kernel_size: 3 pad: 1')), IMAGE),
    'depthwise_channels': (layer('ConvolutionDepthwise', extra=conv('num_output: 1 kernel_size: 3 stride: 2')), IMAGE),
    'axpy': (layer('Axpy', 'a x y', 'z'), {'a': (2, 3, 1, 1), 'x': (2, 3, 4, 5), 'y': (2, 3, 4, 5)}),
    'axpy_two_axes': (layer('Axpy', 'a x y', 'z'), {'a': (2, 3), 'x': (2, 3), 'y': (2, 3)}),
    'channel_scale': (layer('ChannelScale', 'x s'), {'x': (2, 3, 4, 5), 's': (2, 1, 4, 5)}),
    'channel_scale_of_vectors': (layer('ChannelScale', 'x s'), {'x': (2, 3, 1, 1), 's': (2,)}),
    'shuffle': (layer('ShuffleChannel', extra='shuffle_channel_param { group: 2 }'), IMAGE),
    'shuffle_two_axes': (layer('ShuffleChannel', extra='shuffle_channel_param { group: 3 }'), {'x': (2, 6)}),
    'permute': (layer('Permute', extra='permute_param { order: 2 order: 0 }'), {'x': (2, 3, 4)}),
    'permute_nothing': (layer('Permute'), {'x': (2, 3, 4)}),
    'flip': (layer('Flip', extra='flip_param { flip_height: true }'), IMAGE),
    'norm_l2': (layer('NormL2'), IMAGE),
    'ssd_normalize': (layer('Normalize', extra=f'norm_param {{ scale_filler {ONES} }}'), IMAGE),
    'ssd_normalize_channels': (
        layer(
            'Normalize',
            extra=f'norm_param {{ across_spatial: false channel_shared: false scale_filler {ONES} }} {TRUE}',
        ),
        IMAGE,
    ),
    'interp_zoom': (layer('Interp', extra='interp_param { zoom_factor: 2 pad_beg: -1 }'), IMAGE),
    'interp_shrink': (layer('Interp', extra='interp_param { shrink_factor: 2 }'), IMAGE),
    'upsample': (layer('Upsample', extra='upsample_param { scale: 3 }'), IMAGE),
    'inner_distance': (layer('InnerDistance', extra=f'inner_distance_param {{ num_output: 5 {GAUSSIAN} }}'), IMAGE),
    'inner_distance_given': (layer('InnerDistance', 'x c'), {'x': (3, 4), 'c': (5, 4)}),
}


@pytest.mark.parametrize('case', SMOOTH)
def test_backward_is_the_derivative(case):
    check_gradient(*SMOOTH[case])


KINKED = {
    'relu6': layer('ReLU6'),
    'relu6_leaky': layer('ReLU6', extra='relu6_param { negative_slope: 0.1 }'),
    'smooth_l1_of_pictures': layer('SmoothL1Loss', 'x z', 'loss'),
    'smooth_l1_sigma': layer('SmoothL1Loss', 'x z', 'loss', 'loss_weight: 2 smooth_l1_loss_param { sigma: 1.3 }'),
    'inner_distance_l1': layer(
        'InnerDistance', extra=f'inner_distance_param {{ num_output: 5 distance_type: "L1" {GAUSSIAN} }} {TRUE}'
    ),
    'normalize_l1_norm': layer(
        'Normalize', 'x', 'y n', f'normalize_param {{ normalize_type: "L1" bp_norm: true }} {TRUE}'
    ),
}


@pytest.mark.parametrize('case', KINKED)
def test_backward_is_the_derivative_beside_kinks(case):
    shapes = IMAGE | ({'z': IMAGE['x']} if 'smooth' in case else {})
    spread = (np.arange(240).reshape(IMAGE['x']) * 37 % 240 - 100) / 13 + 0.01
    check_gradient(KINKED[case], shapes, values={'x': spread})


@pytest.mark.parametrize(
    'extra, phase',
    [
        ('slope_filler { value: 0.7 }', caffe.TRAIN),
        ('slope_filler { value: 0.7 } frozen: true', caffe.TRAIN),
        ('slope_filler { value: 0.7 }', caffe.TEST),
        ('scale_filler { value: 0.7 }', caffe.TRAIN),
        ('scale_filler { value: 0.7 }', caffe.TEST),
        ('scale_filler { value: 0.7 } bn_mode: INFERENCE', caffe.TEST),
    ],
)
def test_batch_normalisation_with_true_gradients(extra, phase):
    text = f'bn_param {{ {extra} }} {TRUE}'
    # running statistics and frozen parameters are no input of the derivative
    stored = {'layer'} if 'slope' in extra else set()
    values = {'x': rng.normal(1, 2, IMAGE['x'])}
    check_gradient(layer('BN', extra=text), IMAGE, values=values, skip=stored, phase=phase, tolerance=1e-5)


HEADS = {
    'add': 'LabelSpecificAdd" label_specific_add_param { bias: -0.35 }',
    'margin': 'LabelSpecificMargin" label_specific_margin_param { margin_base: 20 gamma: 0 }',
    'cosine_add': 'CosinAddm" cosin_add_m_param { m: 0.4 }',
    'combined': 'CombinedMargin" combined_margin_param { m1: 1.1 m2: 0.3 m3: 0.2 }',
}


@pytest.mark.parametrize('case', HEADS)
def test_backward_of_margins_is_the_derivative(case):
    kind, extra = HEADS[case].split('" ')
    values = {'x': COSINES, 'label': LABELS}
    head = layer(kind, 'x label', extra=extra)
    check_gradient(head, SCORES, values=values, skip={'label', 'layer'}, phase=caffe.TRAIN)


LOSSES = {
    'center': ('x label', 'CenterLoss', f'loss_weight: 0.5 center_loss_param {{ num_output: 7 center_filler {ONES} }}'),
    'center_absolute': (
        'x label',
        'CenterLoss',
        f'loss_weight: 0.5 center_loss_param {{ num_output: 7 distance_type: "L1" center_filler {ONES} }}',
    ),
    'focal': ('x label', 'FocalLoss', ''),
    'focal_alpha': ('x label', 'FocalLoss', 'focal_loss_param { alpha: 1.2 gamma: 1.5 }'),
    'focal_plus': ('x label', 'FocalLoss', 'focal_loss_param { type: ONEADDP alpha: 0.5 }'),
}


@pytest.mark.parametrize('case', LOSSES)
def test_backward_of_losses_is_the_derivative_with_true_gradient(case):
    bottoms, kind, extra = LOSSES[case]
    text = layer(kind, bottoms, 'loss', f'{extra} {TRUE}')
    check_loss(text, SCORES, {'label': LABELS}, skip={'label'})


def test_backward_of_triplet_loss_is_the_derivative():
    shapes = dict.fromkeys('apn', (4, 3))
    check_loss(layer('TripletLoss', 'a p n', 'loss', 'triplet_loss_param { margin: 2 }'), shapes, {})


def check_loss(text, shapes, values, skip=()):
    """A gradient check of a loss layer: its weight is the diff of its top."""
    check_gradient(text, shapes, values=values, skip=skip, phase=caffe.TRAIN)


@pytest.mark.parametrize('mining', ['NONE', 'MAX_NEGATIVE', 'HARD_EXAMPLE'])
@pytest.mark.parametrize('kinds', ['L2 SOFTMAX', 'SMOOTH_L1 LOGISTIC'])
def test_backward_of_multibox_loss_is_the_derivative(mining, kinds):
    location, confidence = kinds.split()
    corners = rng.uniform(0, 0.5, (6, 2))
    prior = np.stack([np.hstack([corners, corners + 0.4]).ravel(), np.full(24, 0.2)])[None]
    truth = [[[[0, 1, 0, *prior[0, 0, :4], 0], [1, 2, 0, 0.3, 0.2, 0.7, 0.6, 0], [-1, 0, 0, 0, 0, 1, 1, 0]]]]
    text = layer(
        'MultiBoxLoss',
        'l c prior gt',
        'loss',
        f'multibox_loss_param {{ num_classes: 3 loc_loss_type: {location} conf_loss_type: {confidence} '
        f'mining_type: {mining} code_type: CENTER_SIZE loc_weight: 1.5 sample_size: 4 }}',
    )
    shapes = {'l': (2, 24), 'c': (2, 18), 'prior': (1, 2, 24), 'gt': (1, 1, 3, 8)}
    check_loss(text, shapes, {'prior': prior, 'gt': truth}, skip={'prior', 'gt'})


def test_backward_of_region_pooling_is_the_derivative():
    shapes = {'x': (2, 3, 7, 6), 'rois': (3, 5)}
    rois = [[0, 0, 0, 5, 6], [1, 1, 2, 4, 4], [1, 3, 3, 9, 9]]
    text = layer('ROIPooling', 'x rois', extra='roi_pooling_param { pooled_h: 3 pooled_w: 2 }')
    values = {'x': np.random.default_rng(0).permutation(252).reshape(shapes['x']) / 9, 'rois': rois}
    check_gradient(text, shapes, values=values, skip={'rois'})


def test_regions_have_the_same_maxima_with_and_without_backward():
    shapes = {'x': (2, 3, 7, 6), 'rois': (4, 5)}
    text = layer('ROIPooling', 'x rois', extra='roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.5 }')
    found = []
    for learns in (True, False):
        net = make_net(text, shapes, force_backward=learns)
        net.blobs['rois'].data[...] = [[0, 0, 0, 9, 11], [1, 1, 2, 4, 4], [1, 30, 3, 40, 9], [0, 7, 7, 7, 7]]
        found.append(net.forward()['y'].copy())
    assert (found[0][2] == 0).all() and (found[0][0] != 0).all()
    np.testing.assert_array_equal(*found)


def test_no_regions_give_no_maxima_and_no_gradient():
    text = layer('ROIPooling', 'x rois', extra='roi_pooling_param { pooled_h: 3 pooled_w: 2 }')
    net = make_net(text, {'x': (2, 3, 7, 6), 'rois': (0, 5)})
    assert net.forward()['y'].shape == (0, 3, 3, 2)
    net.backward()
    assert not net.blobs['x'].diff.any()


def test_backward_of_upsampling_by_mask_is_the_derivative():
    shapes = {'x': (2, 3, 2, 2), 'mask': (2, 3, 2, 2)}
    mask = np.tile([[1, 7], [8, 15]], (2, 3, 1, 1))
    check_gradient(layer('Upsample', 'x mask'), shapes, values={'mask': mask}, skip={'mask'})


def test_backward_of_l_softmax_without_margin_is_the_derivative():
    extra = f'largemargin_inner_product_param {{ num_output: 7 {GAUSSIAN.split(" bias")[0]} }}'
    shapes = {'x': (5, 4), 'label': (5,)}
    text = layer('LargeMarginInnerProduct', 'x label', 'y lambda', extra)
    check_gradient(text, shapes, values={'label': LABELS}, skip={'label'}, phase=caffe.TRAIN)
