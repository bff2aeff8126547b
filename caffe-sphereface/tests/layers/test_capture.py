"""Layers that say that a CUDA graph can replay them: other inputs give what the layer itself makes of them."""

import re

import numpy as np
import pytest

import caffe
from caffe.layers.support.registry import Layer, layer_class, layer_types
from caffe.net.captured import CapturedPass
from gpu_cases import CASES, LABELS, NOT_FORCED
from gpu_mode import assert_same, gpu_mode
from layer_case import layer, make_net

PASSES = 7
# types that cannot be captured
STATED = {
    'AdaCosAddmScale', 'DetectionEvaluate', 'DetectionOutput', 'Filter', 'HDF5Output', 'LSTM', 'MultiBoxLoss',
    'PSROIPooling', 'PriorBox', 'Python', 'RNN', 'ROIPooling',
}  # fmt: skip


IMAGE = {'x': (2, 4, 6, 5)}
SCORES = {'x': (3, 7), 'label': (3,)}
FILLER = 'weight_filler { type: "gaussian" std: 0.5 }'
COSINES = {'x': np.random.default_rng(3).uniform(-0.95, 0.95, (3, 7))}
# the types that have no case in test_gpu, in the TRAIN phase
MORE = {
    'depthwise': (layer('DepthwiseConvolution', extra=f'convolution_param {{ {FILLER} num_output: 8 group: 4 '
                        'kernel_size: 3 }'), IMAGE),
    'depthwise_channels': (layer('ConvolutionDepthwise', extra=f'convolution_param {{ {FILLER} num_output: 1 stride: 2 '
                                 'kernel_size: 3 }'), IMAGE),
    'axpy': (layer('Axpy', 'a x y', 'z'), {'a': (2, 3, 1, 1), 'x': (2, 3, 4, 5), 'y': (2, 3, 4, 5)}),
    'channel_scale': (layer('ChannelScale', 'x s'), {'x': (2, 3, 4, 5), 's': (2, 1, 4, 5)}),
    'shuffle': (layer('ShuffleChannel', extra='shuffle_channel_param { group: 2 }'), IMAGE),
    'permute': (layer('Permute', extra='permute_param { order: 2 order: 0 }'), {'x': (2, 3, 4)}),
    'permute_nothing': (layer('Permute'), {'x': (2, 3, 4)}),
    'flip': (layer('Flip', extra='flip_param { flip_height: true }'), IMAGE),
    'norm_l2': (layer('NormL2'), IMAGE),
    'ssd_normalize': (layer('Normalize', extra='norm_param { across_spatial: false }'), IMAGE),
    'interp': (layer('Interp', extra='interp_param { zoom_factor: 2 pad_beg: -1 }'), IMAGE),
    'upsample': (layer('Upsample', extra='upsample_param { scale: 3 }'), IMAGE),
    'upsample_mask': (layer('Upsample', 'x mask', extra='propagate_down: true propagate_down: false'),
                      {'x': (2, 3, 2, 2), 'mask': (2, 3, 2, 2)}, {'mask': np.tile([[1, 7], [8, 15]], (2, 3, 1, 1))}),
    'inner_distance': (layer('InnerDistance', extra=f'inner_distance_param {{ num_output: 5 {FILLER} }}'), IMAGE),
    'reorg': (layer('Reorg', extra='reorg_param { stride: 2 }'), {'x': (2, 4, 6, 4)}),
    'relu6': (layer('ReLU6'), IMAGE),
    'softmax': (layer('Softmax'), IMAGE),
    'threshold': (layer('Threshold'), IMAGE),
    'dropout': (layer('Dropout'), IMAGE),
    'stochastic': (layer('Pooling', extra='pooling_param { pool: STOCHASTIC kernel_size: 2 }'), IMAGE,
                   {'x': np.random.default_rng(0).uniform(size=IMAGE['x'])}),
    'smooth_l1_of_regions': (layer('SmoothL1LossOHEM', 'x z', 'loss each', 'loss_weight: 1 loss_weight: 0'),
                             IMAGE | {'z': IMAGE['x']}),
    'softmax_of_regions': (layer('SoftmaxWithLossOHEM', 'x label', 'loss p each', 'loss_weight: 1 loss_weight: 0 '
                                 'loss_weight: 0'), SCORES),
    'smooth_l1': (layer('SmoothL1Loss', 'x z', 'loss'), IMAGE | {'z': IMAGE['x']}),
    'bn': (layer('BN', extra='bn_param { slope_filler { value: 0.7 } }'), IMAGE),
    'segnet_bn': (layer('BN', extra='bn_param { scale_filler { value: 0.7 } }'), IMAGE),
    'add': (layer('LabelSpecificAdd', 'x label', 'y bias', 'label_specific_add_param { bias: -0.1 bias_base: 0 '
                  'bias_gamma: 0.05 bias_power: -1 bias_max: 0 bias_min: -0.5 }'), SCORES, COSINES),
    'margin': (layer('LabelSpecificMargin', 'x label', 'y margin', 'label_specific_margin_param { margin_base: 1 '
                     'gamma: 1 power: 1 }'), SCORES, COSINES),
    'cosine_add': (layer('CosinAddm', 'x label', extra='cosin_add_m_param { m: 0.4 }'), SCORES, COSINES),
    'combined': (layer('CombinedMargin', 'x label', extra='combined_margin_param { m1: 1.1 m2: 0.3 m3: 0.2 }'),
                 SCORES, COSINES),
    'l_softmax': (layer('LargeMarginInnerProduct', 'x label', 'y lambda', 'largemargin_inner_product_param { '
                        f'num_output: 4 type: QUADRUPLE base: 5 gamma: 1 {FILLER} }}'), {'x': (3, 4), 'label': (3,)}),
    'inter_class': (layer('InterClass', 'x label', 'y', f'inter_class_param {{ num_output: 5 {FILLER} '
                          'alpha_start_iter: 3 alpha_start_value: 2 alpha_step: 1 alpha_stepvalue: 6 }'),
                    {'x': (3, 4), 'label': (3,)}),
    'softmax_loss': (layer('SoftmaxWithLoss', 'x label', 'loss', 'loss_param { ignore_label: 1 }'), SCORES),
    'center': (layer('CenterLoss', 'x label', 'loss', 'loss_weight: 0.5 center_loss_param { num_output: 7 '
                     'center_filler { type: "gaussian" } }'), SCORES),
    'focal': (layer('FocalLoss', 'x label', 'loss', 'focal_loss_param { alpha: 1.2 }'), SCORES),
    'infogain': (layer('InfogainLoss', 'x label h', 'loss'), SCORES | {'h': (7, 7)}),
    'logistic': (layer('MultinomialLogisticLoss', 'x label', 'loss'), SCORES,
                 {'x': np.random.default_rng(0).uniform(size=SCORES['x'])}),
    'sigmoid_loss': (layer('SigmoidCrossEntropyLoss', 'x t', 'loss'), {'x': (3, 7), 't': (3, 7)}),
    'soft_labels': (layer('SoftmaxCrossEntropyLoss', 'x t', 'loss'), {'x': (3, 7), 't': (3, 7)}),
    'yolo_seg': (layer('YoloSeg', 'x t', 'loss'), IMAGE | {'t': IMAGE['x']}),
    'selu_dropout': (layer('SeLuDropout'), IMAGE),
    'voxel_loss': (layer('VoxelSoftmaxWithLoss', 'x label', 'loss'), SCORES),
    'triplet': (layer('TripletLoss', 'a p n', 'loss', 'triplet_loss_param { margin: 2 }'),
                dict.fromkeys('apn', (4, 3))),
    'lstm_unit': (layer('LSTMUnit', 'c g cont', 'd h'), {'c': (1, 3, 4), 'g': (1, 3, 16), 'cont': (1, 3)}),
    'lstm_exposed': (layer('LSTM', 'x cont h c', 'y h1 c1', 'recurrent_param { num_output: 4 expose_hidden: true '
                           f'{FILLER} }}'), {'x': (3, 2, 5), 'cont': (3, 2), 'h': (1, 2, 4), 'c': (1, 2, 4)}),
    'silence': (layer('ReLU') + layer('Silence', 'x', '').replace('"layer"', '"other"'), IMAGE),
}  # fmt: skip
NOT_FORCED_EITHER = ('sigmoid_loss', 'threshold', 'lstm_unit', 'infogain', 'upsample_mask', *NOT_FORCED)


def types_of(text):
    return set(re.findall(r'type: "(\w+)"', text)) & {*layer_types()}


REPLAYED = {name: case for name, case in CASES.items() if not types_of(case[0]) & STATED} | MORE


def engines_own():
    """{type: no_capture} of the layers of the engine, not of other packages that are installed."""
    classes = {name: layer_class(name) for name in layer_types()}
    return {name: cls.no_capture for name, cls in classes.items() if cls.__module__.startswith('caffe.')}


def test_every_type_that_can_be_captured_has_a_case():
    covered = set().union(*(types_of(text) for text, *_ in REPLAYED.values()))
    assert {name for name, obstacle in engines_own().items() if obstacle is None} <= covered | {'Split'}


@pytest.mark.parametrize('case', REPLAYED)
def test_replayed_passes_are_those_of_the_layer(case):
    text, shapes, *values = REPLAYED[case]

    def outcome(net, work):
        seen = {}
        for k in range(PASSES):
            for name, shape in shapes.items():
                given = values[0][name] if values and name in values[0] else np.random.default_rng(k).normal(size=shape)
                given = np.resize(LABELS, shape) if name == 'label' else given
                net.blobs[name].data[...] = np.roll(given, k)
            net.clear_param_diffs()
            seen[f'{k} loss'] = np.array(float(work()))
            blobs = [*net.blobs.items(), *((f'{n}[{i}]', b) for n, p in net.params.items() for i, b in enumerate(p))]
            seen.update((f'{k} {name}', blob.data.copy()) for name, blob in blobs)
            seen.update((f'{k} {name} diff', blob.diff.copy()) for name, blob in blobs)
        return seen

    def made():
        caffe.set_random_seed(1)
        phase = caffe.TRAIN if case in MORE else caffe.TEST
        return make_net(text, shapes, phase, force_backward=case not in NOT_FORCED_EITHER)

    def written(net):
        def work():
            loss = net.run_forward()
            net.run_backward()
            return loss

        return work

    def captured(net):
        last = len(net.layers) - 1

        def work():
            net.clear_param_diffs()
            loss = net.compute(0, last, one.ahead)
            net.run_backward()
            return loss

        one = CapturedPass(net, 'pass', work)
        assert one.obstacle() is None
        return one

    with gpu_mode():
        net = made()
        expected = outcome(net, written(net))
        net = made()
        one = captured(net)
        assert_same(expected, outcome(net, one.run), 1e-6)
    assert one.is_captured, one._failure


def test_types_that_cannot_be_captured_say_why():
    stated = {name for name, obstacle in engines_own().items() if obstacle not in (None, Layer.no_capture)}
    assert stated | {'LSTM', 'RNN'} >= STATED
