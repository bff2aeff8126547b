"""Bad parameters and bottoms of layers that only forks have: one line that names the layer and what was expected."""

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from layer_case import layer, make_net

IMAGE = {'x': (2, 4, 6, 5)}
SCORES = {'x': (3, 4), 'label': (3,)}
BOXES = {'loc': (2, 24), 'conf': (2, 18), 'prior': (1, 2, 24)}
TRAINING = {**BOXES, 'gt': (1, 1, 2, 8)}


def one(kind, field, text, bottoms='x'):
    """A layer with one parameter message."""
    return layer(kind, bottoms, extra=f'{field} {{ {text} }}')


def prior_box(text):
    return one('PriorBox', 'prior_box_param', text, 'x z')


def detection(text):
    return one('DetectionOutput', 'detection_output_param', text, 'loc conf prior')


def multibox(text):
    return one('MultiBoxLoss', 'multibox_loss_param', text, 'loc conf prior gt')


CASES = [
    (one('ConvolutionDepthwise', 'convolution_param', 'kernel_size: 3'), IMAGE, 'stride is missing, expected it'),
    (
        layer('Axpy', 'a x y', 'z'),
        {'a': (2, 3), 'x': (2, 4, 5), 'y': (2, 4, 5)},
        'expected one factor for each channel',
    ),
    (layer('Axpy', 'a x y', 'z'), {'a': (2, 4), 'x': (2, 4, 5), 'y': (2, 4, 6)}, 'expected that of bottom 1'),
    (layer('ChannelScale', 'x s'), {**IMAGE, 's': (2, 4, 6, 5)}, 'expected one value for each position'),
    (layer('ChannelScale', 'x s', 'y g'), {**IMAGE, 's': (2, 1, 6, 5)}, 'with global_scale: true only'),
    (one('ShuffleChannel', 'shuffle_channel_param', 'group: 3'), IMAGE, 'group 3 does not divide channels'),
    (one('ShuffleChannel', 'shuffle_channel_param', 'group: 0'), IMAGE, 'group 0 does not divide channels'),
    (layer('ShuffleChannel'), {'x': (3,)}, 'expected at least 2 axes'),
    (one('Permute', 'permute_param', 'order: 1 order: 1'), IMAGE, 'names an axis twice'),
    (one('Permute', 'permute_param', 'order: 4'), IMAGE, r'order \[4\], expected axes below 4'),
    (layer('Flip'), {'x': (2, 3)}, 'expected 4 axes'),
    (one('Normalize', 'norm_param', ''), {'x': (3,)}, 'expected at least 2 axes'),
    (layer('NormL2'), {'x': (1, 1, 1, 1, 1)}, 'expected at most 4 axes'),
    (layer('BN'), {'x': (3,)}, 'expected at least 2 axes'),
    (layer('BN', 'x', 'y m v', 'bn_param { bn_mode: INFERENCE }'), IMAGE, 'expected one top with bn_mode'),
    (layer('BN', 'x', 'y m v', 'bn_param { frozen: true }'), IMAGE, 'has 3 top blobs, expected 1'),
    (layer('Interp'), IMAGE, 'has no size, expected height and width'),
    (one('Interp', 'interp_param', 'height: 4'), IMAGE, 'has no size'),
    (one('Interp', 'interp_param', 'zoom_factor: 0'), IMAGE, 'zoom_factor is 0, expected at least 1'),
    (one('Interp', 'interp_param', 'zoom_factor: 2 pad_beg: 1'), IMAGE, 'expected values of at most 0'),
    (one('Interp', 'interp_param', 'zoom_factor: 2 pad_end: -5'), IMAGE, 'leave nothing of a bottom'),
    (one('Interp', 'interp_param', 'zoom_factor: 2'), {'x': (2, 3)}, 'expected 4 axes'),
    (one('Upsample', 'upsample_param', 'scale: 0'), IMAGE, 'scale is 0'),
    (layer('Upsample'), {'x': (2, 3)}, 'expected 4 axes'),
    (layer('Upsample', 'x m'), {**IMAGE, 'm': (2, 4, 6, 4)}, 'expected that of bottom 0'),
    (one('Upsample', 'upsample_param', 'scale_h: 2', 'x m'), {**IMAGE, 'm': IMAGE['x']}, 'one of scale_h and scale_w'),
    (
        one('Upsample', 'upsample_param', 'scale: 3 pad_out_h: true', 'x m'),
        {**IMAGE, 'm': IMAGE['x']},
        'with scale 2 only',
    ),
    (layer('LabelSpecificAdd', 'x label'), {**SCORES, 'label': (4,)}, 'expected one an item'),
    (
        one('LabelSpecificMargin', 'label_specific_margin_param', 'auto_tune: true', 'x label'),
        SCORES,
        'auto_tune, which only GPU code',
    ),
    (one('LabelSpecificMargin', 'label_specific_margin_param', 'type: SOFT', 'x label'), SCORES, 'expected HARD'),
    (layer('CosinAddm', 'x label'), {**SCORES, 'label': (4,)}, 'expected one an item'),
    (one('AdaCosAddmScale', 'adacos_add_m_scale_param', 'num_classes: 1', 'x label'), SCORES, 'expected at least 2'),
    (layer('LargeMarginInnerProduct', 'x label', 'y l'), SCORES, 'num_output is 0'),
    (
        one('LargeMarginInnerProduct', 'largemargin_inner_product_param', 'num_output: 4', 'x label'),
        SCORES,
        'expected 2',
    ),
    (layer('CenterLoss', 'x label'), SCORES, 'num_output is 0, expected the number of classes'),
    (
        one('CenterLoss', 'center_loss_param', 'num_output: 2 distance_type: "L3"', 'x label'),
        SCORES,
        "'L3', expected L1 or L2",
    ),
    (one('CenterLoss', 'center_loss_param', 'num_output: 2', 'x label'), {**SCORES, 'label': (2,)}, 'labels of shape'),
    (layer('InnerDistance'), SCORES, 'num_output is 0'),
    (one('InnerDistance', 'inner_distance_param', 'num_output: 2 distance_type: "cos"'), SCORES, 'expected L1 or L2'),
    (
        one('InnerDistance', 'inner_distance_param', 'num_output: 2 update_center_only: true'),
        SCORES,
        'expected labels as its third bottom',
    ),
    (layer('TripletLoss', 'a p n'), {'a': (2, 3), 'p': (2, 3), 'n': (2, 4)}, 'expected three equal ones'),
    (layer('FocalLoss', 'x label'), {**SCORES, 'label': (2,)}, 'expected 3 labels'),
    (layer('SmoothL1Loss', 'a b'), {'a': (2, 3), 'b': (2, 4)}, 'expected that of bottom 0'),
    (layer('SmoothL1Loss', 'a b c'), dict.fromkeys('abc', (2, 3)), 'has 3 bottom blobs, expected 2'),
    (one('SmoothL1Loss', 'smooth_l1_loss_param', '', 'a b c'), dict.fromkeys('abc', (2, 3)), 'or 4 with inside'),
    (one('SmoothL1Loss', 'smooth_l1_loss_param', 'sigma: 0', 'a b'), dict.fromkeys('ab', (2, 3)), 'sigma is 0'),
    (layer('ROIPooling', 'x r'), {**IMAGE, 'r': (2, 5)}, 'expected at least 1 each'),
    (one('ROIPooling', 'roi_pooling_param', 'pooled_h: 2 pooled_w: 2', 'x r'), {**IMAGE, 'r': (2, 4)}, 'regions, 5'),
    (prior_box(''), {**IMAGE, 'z': (1, 3, 9, 9)}, 'min_size is'),
    (prior_box('min_size: 4 max_size: 3'), {**IMAGE, 'z': (1, 3, 9, 9)}, 'one above each min_size'),
    (prior_box('min_size: 4 variance: 1 variance: 2'), {**IMAGE, 'z': (1, 3, 9, 9)}, 'expected none, 1 or 4'),
    (prior_box('min_size: 4 step: 2 step_h: 2 step_w: 2'), {**IMAGE, 'z': (1, 3, 9, 9)}, 'expected one of both'),
    (prior_box('min_size: 4 img_h: 2'), {**IMAGE, 'z': (1, 3, 9, 9)}, 'one of img_h and img_w'),
    (prior_box('min_size: 4 aspect_ratio: 0'), {**IMAGE, 'z': (1, 3, 9, 9)}, 'expected values above 0'),
    (prior_box('min_size: 4'), {**IMAGE, 'z': (1, 3)}, 'bottom 1 has shape'),
    (detection(''), BOXES, 'num_classes is missing'),
    (detection('num_classes: 3 background_label_id: -1'), BOXES, 'with share_location, expected a label'),
    (detection('num_classes: 4'), BOXES, "bottom 'conf' has shape"),
    (detection('num_classes: 3'), {**BOXES, 'prior': (1, 1, 24)}, 'default boxes have shape'),
    (detection('num_classes: 3 nms_param { eta: 0 }'), BOXES, 'eta not above 0'),
    (multibox(''), TRAINING, 'num_classes is missing'),
    (multibox('num_classes: 3 share_location: false'), TRAINING, 'expected mining_type NONE'),
    (
        multibox('num_classes: 3 share_location: false mining_type: NONE use_prior_for_matching: false'),
        TRAINING,
        'use_prior_for_matching: false is not implemented',
    ),
    (multibox('num_classes: 3 map_object_to_agnostic: true'), TRAINING, 'map_object_to_agnostic with num_classes 3'),
    (multibox('num_classes: 3 do_neg_mining: false'), TRAINING, 'contradicts mining_type'),
    (multibox('num_classes: 3'), {**TRAINING, 'gt': (1, 1, 2, 7)}, 'true boxes have shape'),
    (layer('ReLU', extra='true_gradient: true'), IMAGE, 'has no switch true_gradient, expected it in layers of: BN'),
]


@pytest.mark.parametrize('layers, shapes, message', CASES, ids=range(len(CASES)))
def test_bad_input_is_named(layers, shapes, message):
    with pytest.raises(caffe.CaffeError, match=message) as error:
        make_net(layers, shapes)
    assert "layer 'layer'" in str(error.value) and '\n' not in str(error.value)


VALUES = [
    (layer('LabelSpecificAdd', 'x label'), SCORES, {'label': [0, 4, 1]}, 'labels from 0 to 4, expected 0 to 3'),
    (layer('CosinAddm', 'x label'), SCORES, {'label': [0, -1, 1]}, 'labels from -1 to 1'),
    (layer('CombinedMargin', 'x label'), SCORES, {'label': [0, -1, 4]}, 'labels from 0 to 4'),
    (
        one('CenterLoss', 'center_loss_param', 'num_output: 2', 'x label'),
        SCORES,
        {'label': [0, 1, 2]},
        'indices from 0 to 2',
    ),
    (
        one('InnerDistance', 'inner_distance_param', 'update_center_only: true', 'x c label'),
        {**SCORES, 'c': (2, 4)},
        {'label': [0, 1, 2]},
        'indices from 0 to 2, expected 0 to 1',
    ),
    (layer('Upsample', 'x m'), {'x': (1, 1, 1, 2), 'm': (1, 1, 1, 2)}, {'m': [[[[0, 8]]]]}, 'indices from 0 to 8'),
    (
        one('ROIPooling', 'roi_pooling_param', 'pooled_h: 1 pooled_w: 1', 'x r'),
        {**IMAGE, 'r': (1, 5)},
        {'r': [[2, 0, 0, 1, 1]]},
        'regions of images 2 to 2, expected 0 to 1',
    ),
    (multibox('num_classes: 3'), TRAINING, {'gt': [[[[0] * 8, [-1] * 8]]]}, 'true boxes of the background, label 0'),
    (multibox('num_classes: 3'), TRAINING, {'gt': [[[[0, 3] + [0] * 6, [-1] * 8]]]}, 'labels from 3 to 3'),
    (multibox('num_classes: 3'), TRAINING, {'gt': [[[[2, 1] + [0] * 6, [-1] * 8]]]}, 'true boxes of image 2'),
]


@pytest.mark.parametrize('layers, shapes, values, message', VALUES, ids=range(len(VALUES)))
def test_bad_values_are_named_in_forward(layers, shapes, values, message):
    net = make_net(layers, shapes, caffe.TRAIN)
    for name, array in values.items():
        net.blobs[name].data[...] = np.asarray(array)
    with pytest.raises(caffe.CaffeError, match=message):
        net.forward()


def test_two_layers_of_one_name_are_told_apart():
    blobs = {
        'type: "Normalize"': 0,
        'type: "Normalize" normalize_param { }': 0,
        'type: "Normalize" norm_param { }': 1,
        'type: "Normalize" blobs { shape { } data: 20 }': 1,
        'type: "BN"': 4,
        'type: "BN" bn_param { slope_filler { value: 1 } }': 4,
        'type: "BN" bn_param { scale_filler { value: 1 } }': 2,
        'type: "BN" bn_param { bn_mode: INFERENCE }': 2,
    }
    for text, count in blobs.items():
        param = text_format.Parse(
            'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 2 dim: 2 } } } '
            f'layer {{ name: "layer" {text} bottom: "x" top: "y" }}',
            caffe_pb2.NetParameter(),
        )
        net = caffe.Net(param, caffe.TEST)
        assert len(net.params.get('layer', [])) == count, text
