"""Freeing what backward has used up changes no number of a training run."""

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.net.free_memory import free_while_training
from caffe.proto import caffe_pb2

NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 4 dim: 3 dim: 12 dim: 12 } shape { dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" }
layer { name: "scale" type: "Scale" bottom: "norm" top: "norm" scale_param { bias_term: true } }
layer { name: "prelu" type: "PReLU" bottom: "norm" top: "norm" }
layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool" top: "conv2"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "sum" type: "Eltwise" bottom: "pool" bottom: "conv2" top: "sum" }
layer { name: "lrn" type: "LRN" bottom: "sum" top: "lrn" }
layer { name: "join" type: "Concat" bottom: "lrn" bottom: "sum" top: "join" }
layer { name: "fc" type: "InnerProduct" bottom: "join" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" }
"""


def solver_of(tmp_path, net=NET):
    (tmp_path / 'net.prototxt').write_text(net)
    (tmp_path / 'solver.prototxt').write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 9 iter_size: 2 '
        f'random_seed: 1 snapshot_prefix: "{tmp_path}/run"'
    )
    solver = caffe.SGDSolver(str(tmp_path / 'solver.prototxt'))
    rng = np.random.default_rng(0)
    solver.net.blobs['data'].data[...] = rng.normal(size=(4, 3, 12, 12))
    solver.net.blobs['label'].data[...] = rng.integers(0, 5, 4)
    return solver


def test_same_training(tmp_path):
    full, lean = solver_of(tmp_path), solver_of(tmp_path)
    free_while_training(lean.net)
    for solver in (full, lean):
        solver.step(4)
    for name, blobs in full.net.params.items():
        for mine, theirs in zip(blobs, lean.net.params[name]):
            np.testing.assert_array_equal(mine.data, theirs.data, err_msg=name)
            np.testing.assert_array_equal(mine.diff, theirs.diff, err_msg=name)
    for name in full.net.outputs:
        np.testing.assert_array_equal(full.net.blobs[name].data, lean.net.blobs[name].data)


@pytest.mark.parametrize('kind', ['type: "Flatten"', 'type: "Reshape" reshape_param { shape { dim: 0 dim: -1 } }'])
def test_a_loss_weight_in_a_shared_diff_stays(tmp_path, kind):
    extra = f'layer {{ name: "flat" bottom: "pool" top: "flat" loss_weight: 0.1 {kind} }}'
    full, lean = (solver_of(tmp_path, NET + extra) for _ in range(2))
    free_while_training(lean.net)
    for solver in (full, lean):
        solver.step(3)
    np.testing.assert_array_equal(full.net.params['conv'][0].data, lean.net.params['conv'][0].data)


def test_only_the_lean_net_lets_go(tmp_path):
    full, lean = solver_of(tmp_path), solver_of(tmp_path)
    free_while_training(lean.net)
    for solver in (full, lean):
        solver.step(1)
    for name in ('conv', 'norm', 'pool', 'lrn', 'join', 'fc'):
        assert np.abs(full.net.blobs[name].data).max() > 0 and np.abs(full.net.blobs[name].diff).max() > 0
    assert not np.any(lean.net.blobs['join'].data) and not np.any(lean.net.blobs['norm'].diff)


# (bottoms, top, the rest of a layer) between two convolutions; `b`, `c` have the shape of `a`, `channels` has a value
# for each channel and `positions` one for each position, `label` one for each picture; the top `loss` ends the net
BETWEEN = {
    'BatchNorm': ('a', 'z', ''),
    'BatchNorm in place': ('a', 'a', ''),
    'BatchNorm of running statistics': ('a', 'z', 'batch_norm_param { use_global_stats: true eps: 1 }'),
    'Scale': ('a', 'z', 'scale_param { bias_term: true }'),
    'Scale in place': ('a', 'a', ''),
    'Scale by a blob': ('a b', 'z', 'scale_param { axis: 0 }'),
    'Bias': ('a', 'a', ''),
    'PReLU': ('a', 'z', ''),
    'PReLU in place': ('a', 'a', ''),
    'ReLU': ('a', 'z', ''),
    'ReLU in place': ('a', 'a', ''),
    'LRN': ('a', 'z', ''),
    'Dropout': ('a', 'a', ''),
    'TanH': ('a', 'a', ''),
    'ELU': ('a', 'z', ''),
    'Flatten': ('a', 'z', ''),
    'Reshape': ('a', 'z', 'reshape_param { shape { dim: 0 dim: -1 } }'),
    'Concat': ('a b', 'z', ''),
    'Eltwise': ('a b c', 'z', ''),
    'Eltwise product': ('a b', 'z', 'eltwise_param { operation: PROD }'),
    'Eltwise maximum': ('a b', 'z', 'eltwise_param { operation: MAX }'),
    'Softmax': ('a', 'a', ''),
    'Pooling': ('a', 'z', 'pooling_param { kernel_size: 3 stride: 2 }'),
    'Pooling means': ('a', 'z', 'pooling_param { pool: AVE kernel_size: 2 stride: 2 }'),
    'Deconvolution': ('a', 'z', 'convolution_param { num_output: 2 kernel_size: 2 }'),
    'Normalize': ('a', 'a', ''),
    'InnerProduct': ('a', 'z', 'inner_product_param { num_output: 3 }'),
    'MVN': ('a', 'z', ''),
    'Split': ('a', 'z w', ''),
    'DepthwiseConvolution': ('a', 'z', 'convolution_param { num_output: 4 group: 4 kernel_size: 3 }'),
    'ConvolutionDepthwise': ('a', 'z', 'convolution_param { kernel_size: 3 stride: 2 }'),
    'ReLU6': ('a', 'z', ''),
    'ReLU6 in place': ('a', 'a', ''),
    'Axpy': ('channels a b', 'z', ''),
    'ChannelScale': ('a positions', 'z', ''),
    'ShuffleChannel': ('a', 'z', 'shuffle_channel_param { group: 2 }'),
    'Permute': ('a', 'z', 'permute_param { order: 0 order: 2 }'),
    'Permute of nothing': ('a', 'z', ''),
    'Flip': ('a', 'z', ''),
    'Normalize of SSD': ('a', 'z', 'norm_param { }'),
    'Normalize of L1': ('a', 'z', 'normalize_param { normalize_type: "L1" }'),
    'NormL2': ('a', 'z', ''),
    'BN': ('a', 'z', 'bn_param { slope_filler { value: 1 } }'),
    'BN in place': ('a', 'a', 'bn_param { slope_filler { value: 1 } }'),
    'BN frozen': ('a', 'a', 'bn_param { slope_filler { value: 1 } frozen: true }'),
    'BN of SegNet': ('a', 'a', 'bn_param { scale_filler { value: 1 } }'),
    'BN of SegNet without statistics': ('a', 'z', 'bn_param { scale_filler { value: 1 } bn_mode: INFERENCE }'),
    'Interp': ('a', 'z', 'interp_param { zoom_factor: 2 pad_beg: -1 }'),
    'Upsample': ('a', 'z', 'upsample_param { scale: 2 }'),
    'LabelSpecificAdd': ('a label', 'a', 'label_specific_add_param { bias: -0.35 }'),
    'LabelSpecificMargin': ('a label', 'z', 'label_specific_margin_param { margin_base: 10 }'),
    'CosinAddm': ('unit label', 'unit', ''),
    'CombinedMargin': ('unit label', 'z', 'combined_margin_param { m1: 1 }'),
    'AdaCosAddmScale': ('unit label', 'z', 'adacos_add_m_scale_param { num_classes: 144 }'),
    'LargeMarginInnerProduct': (
        'a label',
        'z w',
        'largemargin_inner_product_param { num_output: 4 type: DOUBLE weight_filler { type: "xavier" } }',
    ),
    'InnerDistance': ('a', 'z', 'inner_distance_param { num_output: 4 weight_filler { type: "xavier" } }'),
    'CenterLoss': ('a label', 'loss', 'loss_weight: 1 center_loss_param { num_output: 4 }'),
    'FocalLoss': ('channels label', 'loss', ''),
    'TripletLoss': ('a b c', 'loss', ''),
    'SmoothL1Loss': ('a b', 'loss', ''),
    'SmoothL1Loss with sigma': ('a b', 'loss', 'loss_weight: 1 smooth_l1_loss_param { sigma: 2 }'),
}
MADE = {
    'label': 'type: "Input" input_param { shape { dim: 3 } }',
    'channels': 'type: "InnerProduct" bottom: "data" '
    'inner_product_param { num_output: 4 weight_filler { type: "xavier" } }',
    'positions': 'type: "Convolution" bottom: "data" convolution_param { num_output: 1 kernel_size: 3 }',
    'unit': 'type: "NormL2" bottom: "a"',
}
CONVOLUTION = (
    'type: "Convolution" bottom: "data" convolution_param { num_output: 4 kernel_size: 3 '
    'weight_filler { type: "xavier" } }'
)
END = """layer { name: "end" type: "InnerProduct" bottom: "%s" top: "end"
         inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "Reduction" bottom: "end" top: "loss" loss_weight: 1 }
"""


def net_with(kind):
    bottoms, tops, rest = BETWEEN[kind]
    names = [*['a'] * ('unit' in bottoms), *bottoms.split()]
    made = ''.join(f'layer {{ name: "{n}" top: "{n}" {MADE.get(n, CONVOLUTION)} }}\n' for n in names)
    ends = ''.join(f'bottom: "{b}" ' for b in bottoms.split()) + ''.join(f'top: "{t}" ' for t in tops.split())
    text = (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 2 dim: 8 dim: 8 } } }\n'
        + made
        + f'layer {{ name: "layer" type: "{kind.split()[0]}" {ends} {rest} }}\n'
        + ('' if tops == 'loss' else END % tops.split()[0])
        + ''.join(f'layer {{ name: "s{t}" type: "Silence" bottom: "{t}" }}\n' for t in tops.split()[1:])
    )
    caffe.set_random_seed(1)
    net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TRAIN)
    net.blobs['data'].data[...] = np.random.default_rng(0).normal(size=(3, 2, 8, 8))
    if 'label' in net.blobs:
        net.blobs['label'].data[...] = [0, 3, 1]
    return net


@pytest.mark.parametrize('kind', BETWEEN)
def test_no_layer_reads_what_was_freed(kind):
    full, lean = net_with(kind), net_with(kind)
    free_while_training(lean)
    for net in (full, lean):
        caffe.set_random_seed(2)
        for _ in range(2):
            net.clear_param_diffs()
            net._forward(0, len(net.layers) - 1)
            net._backward(len(net.layers) - 1, 0)
    assert any(np.any(blob.diff) for blobs in full.params.values() for blob in blobs)
    for name, blobs in full.params.items():
        for mine, theirs in zip(blobs, lean.params[name]):
            np.testing.assert_array_equal(mine.data, theirs.data, err_msg=name)
            np.testing.assert_array_equal(mine.diff, theirs.diff, err_msg=name)


def test_what_only_forward_reads_is_freed_in_forward():
    net = net_with('BatchNorm')
    free_while_training(net)
    net._forward(0, len(net.layers) - 1)
    assert not net.blobs['a'].data.any() and net.blobs['z'].data.any()
    net._backward(len(net.layers) - 1, 0)
    assert not net.blobs['z'].data.any() and net.blobs['loss'].data.any()


class Looks(caffe.Layer):
    """Passes its bottom on, and looks at its top of the iteration before."""

    def setup(self, bottom, top):
        self.seen = []

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        self.seen.append(top[0].data.copy())
        top[0].data[...] = bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff


def test_what_a_python_layer_gave_stays(tmp_path):
    net = NET.replace(
        'layer { name: "fc" type: "InnerProduct" bottom: "join"',
        '''
        layer { name: "looks" type: "Python" bottom: "join" top: "same"
                python_param { module: "test_free_memory" layer: "Looks" } }
        layer { name: "fc" type: "InnerProduct" bottom: "same"''',
    )
    lean = solver_of(tmp_path, net)
    free_while_training(lean.net)
    lean.step(2)
    seen = lean.net.layer_dict['looks'].seen
    assert len(seen) == 4 and not seen[0].any() and all(each.any() for each in seen[1:])
