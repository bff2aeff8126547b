"""Random nets of the layers that inference folds and training frees: what is computed does not depend on either."""

import random

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.net.free_memory import free_while_training
from caffe.proto import caffe_pb2

FILLER = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 }'
# layers with tops like their bottoms, in place or not
ALIKE = [
    'type: "BatchNorm" batch_norm_param { eps: 0.1 }',
    'type: "Scale" scale_param { bias_term: true filler { type: "gaussian" std: 1 } }',
    'type: "ReLU"',
    'type: "ReLU" relu_param { negative_slope: 0.2 }',
    'type: "PReLU"',
    'type: "TanH"',
    'type: "ReLU6"',
    'type: "ReLU6" relu6_param { negative_slope: 0.1 }',
    'type: "BN" bn_param { slope_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 } eps: 0.1 }',
    'type: "BN" bn_param { scale_filler { type: "gaussian" std: 1 } bn_mode: INFERENCE }',
]
OTHERS = [
    *(
        f'type: "Convolution" convolution_param {{ num_output: {n} {window} {FILLER} }}'
        for n, window in [
            (4, 'kernel_size: 1'),
            (4, 'kernel_size: 3 pad: 1'),
            (1, 'kernel_size: 3 pad: 1'),
            (6, 'kernel_size: 3 pad: 1 stride: 2'),
        ]
    ),
    *2 * [f'type: "Deconvolution" convolution_param {{ num_output: 3 kernel_size: 2 {FILLER} }}'],
    'type: "Pooling" pooling_param { kernel_size: 3 stride: 2 pad: 1 }',
    'type: "Pooling" pooling_param { pool: AVE kernel_size: 2 stride: 1 }',
    'type: "LRN" lrn_param { local_size: 3 }',
    *2 * [f'type: "ConvolutionDepthwise" convolution_param {{ kernel_size: 3 pad: 1 stride: 1 {FILLER} }}'],
    f'type: "DepthwiseConvolution" convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {FILLER} }}',
    'type: "Pooling" pooling_param { kernel_size: 3 stride: 2 ceil_mode: false }',
    'type: "Flip" flip_param { flip_height: true }',
    'type: "Permute" permute_param { order: 0 order: 1 order: 3 order: 2 }',
    'type: "Permute" permute_param { order: 0 order: 2 order: 1 }',
    'type: "Interp" interp_param { height: 9 width: 12 }',
    'type: "Normalize" norm_param { across_spatial: false scale_filler { value: 2 } }',
    'type: "NormL2"',
]
JOINS = [
    'type: "Eltwise"',
    'type: "Eltwise" eltwise_param { operation: MAX }',
    'type: "Concat"',
    AXPY := 'type: "Axpy"',
]
DOUBLED = [  # of an even number of channels
    'type: "ShuffleChannel" shuffle_channel_param { group: 2 }',
    'type: "Upsample" upsample_param { scale: 2 }',
    f'type: "DepthwiseConvolution" convolution_param {{ num_output: 2 group: 2 kernel_size: 3 {FILLER} }}',
]


def net_of(seed):
    """A NetParameter with one input of images and three numbers per picture to learn."""
    draw = random.Random(seed)
    lines = [
        'name: "input" type: "Input" top: "data" top: "target" '
        'input_param { shape { dim: 2 dim: 4 dim: 16 dim: 15 } shape { dim: 2 dim: 3 } }'
    ]
    kinds, used = {'data': 0}, {'data'}  # blob -> a number that those of the same shape share

    def add(text, bottoms, top):
        ends = ' '.join(f'bottom: "{name}"' for name in bottoms)
        lines.append(f'name: "{len(lines)}" {text} {ends} top: "{top}"')
        used.update(name for name in bottoms if name != top)

    for i in range(draw.randint(6, 16)):
        bottom, new = draw.choice(list(kinds)[-3:]), f'b{i}'
        like = [name for name in kinds if kinds[name] == kinds[bottom] and name != bottom]
        if like and draw.random() < 0.4:
            join, bottoms = draw.choice(JOINS), [bottom, draw.choice(like)]
            if join == AXPY:
                add(
                    'type: "Pooling" pooling_param { pool: AVE global_pooling: true }',
                    [draw.choice(bottoms)],
                    f'{new}s',
                )
                bottoms.insert(0, f'{new}s')
            add(join, bottoms, new)
            kinds[new] = len(lines)
        elif draw.random() < 0.1:
            add('type: "Concat"', [bottom, bottom], f'{new}s')
            add(draw.choice(DOUBLED), [f'{new}s'], new)
            kinds[new] = len(lines)
        elif draw.random() < 0.6:
            top = bottom if bottom not in used and draw.random() < 0.7 else new
            add(draw.choice(ALIKE), [bottom], top)
            kinds[top] = kinds[bottom]
        else:
            add(draw.choice(OTHERS), [bottom], new)
            kinds[new] = len(lines)
    if draw.random() < 0.5:
        add('type: "Flatten" loss_weight: 0.01', [draw.choice(list(kinds))], 'flat')
    add(f'type: "InnerProduct" inner_product_param {{ num_output: 3 {FILLER} }}', [list(kinds)[-1]], 'learned')
    add('type: "EuclideanLoss"', ['learned', 'target'], 'loss')
    return text_format.Parse('\n'.join(f'layer {{ {line} }}' for line in lines), caffe_pb2.NetParameter())


def feed(net, seed):
    rng = np.random.default_rng(seed)
    for name in ('data', 'target'):
        net.blobs[name].data[...] = rng.normal(size=net.blobs[name].shape)


def made(seed):
    """The net for inference, the same in every call."""
    caffe.set_random_seed(seed)
    net = caffe.Net(net_of(seed), caffe.TEST)
    rng = np.random.default_rng(seed)
    for layer in net.layers:
        if layer.type == 'BatchNorm':
            mean, variance, factor = (blob.data for blob in layer.blobs)
            mean[...], variance[...], factor[...] = rng.normal(size=mean.shape), rng.uniform(0.5, 2, mean.shape), 1
        elif layer.type == 'BN' and len(layer.blobs) == 4:
            mean, variance = (blob.data for blob in layer.blobs[2:])
            mean[...], variance[...] = rng.normal(size=mean.shape), rng.uniform(0.5, 2, mean.shape)
    feed(net, seed)
    return net


@pytest.mark.parametrize('seed', range(100))
def test_every_blob_shows_the_same_however_often_the_net_ran(seed):
    first, again = made(seed), made(seed)
    first.forward()
    expected = {name: blob.data.copy() for name, blob in first.blobs.items()}
    for _ in range(3):
        again.forward()
    names = list(expected)
    random.Random(seed).shuffle(names)
    for name in names:
        scale = max(1, np.abs(expected[name]).max())
        np.testing.assert_allclose(again.blobs[name].data, expected[name], rtol=0, atol=3e-5 * scale, err_msg=name)


@pytest.mark.parametrize('seed', range(40))
def test_freed_memory_changes_no_training(tmp_path, seed):
    (tmp_path / 'net.prototxt').write_text(text_format.MessageToString(net_of(seed)))
    (tmp_path / 'solver.prototxt').write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 max_iter: 9 random_seed: 1 '
        f'snapshot_prefix: "{tmp_path}/s"'
    )
    full, lean = (caffe.SGDSolver(str(tmp_path / 'solver.prototxt')) for _ in range(2))
    free_while_training(lean.net)
    for solver in (full, lean):
        feed(solver.net, seed)
        solver.step(3)
    for one, other in zip(full.net.learnable.blobs, lean.net.learnable.blobs):
        np.testing.assert_array_equal(one.data, other.data)
