"""Layers of every kind for tests in GPU mode: (text, shapes of the inputs, values of some), by a name for the case."""

import numpy as np

import gradient_cases
import loss_cases
import neuron_cases
from layer_case import layer

LABELS = np.array([0, 2, 1])
FILLER = 'weight_filler { type: "gaussian" std: 1 }'
BATCH = {'x': (3, 4), 'label': (3,)}
SEQUENCE = {'x': (4, 3, 5), 'cont': (4, 3)}
RECURRENT = f'recurrent_param {{ num_output: 6 {FILLER} }}'
# layers with bottoms or tops without a gradient, at which force_backward fails
NOT_FORCED = ('embed', 'reindex', 'filter', 'accuracy', 'arg_max')
FIRST_ONLY = 'propagate_down: true propagate_down: false loss_weight: 1'
# prototxt of the layers, shapes of the inputs, values of inputs; an input `label` gets LABELS otherwise
CASES = {
    **gradient_cases.SMOOTH,
    **gradient_cases.KINKED,
    **{
        name: (neuron_cases.text_of(name), neuron_cases.SHAPE, {'x': neuron_cases.values_of(name)})
        for name in neuron_cases.DIFFERENTIABLE
    },
    **{
        name: (layer(kind, ' '.join(shapes), 'loss', extra), shapes)
        for name, (kind, shapes, extra) in loss_cases.GRADIENTS.items()
        if 'ignore' not in extra
    },
    **{
        kind: (
            layer(
                'MarginInnerProduct',
                'x label',
                'y lambda',
                f'margin_inner_product_param {{ num_output: 4 base: 10 type: {kind} {FILLER} }}',
            ),
            BATCH,
        )
        for kind in ('SINGLE', 'DOUBLE', 'TRIPLE', 'QUADRUPLE')
    },
    **{
        kind: (
            layer(
                'InterClass',
                'x label',
                'y',
                f'inter_class_param {{ num_output: 5 type: {kind} {FILLER} alpha_start_iter: 1 alpha_start_value: 2 }}',
            ),
            BATCH,
        )
        for kind in ('MEAN', 'AMONG', 'MHE', 'MHE_BATCH')
    },
    'relu': (layer('ReLU', extra='relu_param { negative_slope: 0.1 }'), gradient_cases.IMAGE),
    'prelu': (layer('PReLU'), gradient_cases.IMAGE),
    'batch_norm': (layer('BatchNorm', extra='batch_norm_param { use_global_stats: false }'), gradient_cases.IMAGE),
    'batch_norm_fixed': (layer('BatchNorm'), gradient_cases.IMAGE),
    'normalized_weights': (
        layer('InnerProduct', extra=f'inner_product_param {{ num_output: 4 normalize: true {FILLER} }}'),
        {'x': (3, 4)},
    ),
    **{
        f'empty_window_{kind}': (
            layer('Pooling', extra=f'pooling_param {{ pool: {kind} kernel_size: 1 stride: 3 }}'),
            {'x': (2, 3, 5, 5)},
        )
        for kind in ('MAX', 'AVE')
    },
    'embed': (
        layer('Embed', 'label', extra=f'embed_param {{ input_dim: 5 num_output: 3 {FILLER} }} loss_weight: 1'),
        {'label': (3,)},
    ),
    'reindex': (layer('BatchReindex', 'x label', extra=FIRST_ONLY), BATCH),
    'filter': (layer('Filter', 'x label', extra=FIRST_ONLY), BATCH),
    'accuracy': (layer('Accuracy', 'x label', 'y z'), BATCH),
    'arg_max': (layer('ArgMax', extra='argmax_param { top_k: 2 out_max_val: true }'), {'x': (3, 4)}),
    'lstm': (layer('LSTM', 'x cont', 'y', RECURRENT), SEQUENCE),
    'rnn': (layer('RNN', 'x cont', 'y', RECURRENT), SEQUENCE),
}
