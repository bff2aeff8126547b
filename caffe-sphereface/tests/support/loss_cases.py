"""Losses for gradient checks: the type of each, the shapes of its inputs, its parameters."""

SPATIAL = {'x': (2, 5, 3, 4), 'label': (2, 3, 4)}

MATRIX = 'propagate_down: true propagate_down: false propagate_down: false '

GRADIENTS = {
    'softmax': ('SoftmaxWithLoss', {'x': (3, 4), 'label': (3,)}, ''),
    'softmax_spatial': ('SoftmaxWithLoss', SPATIAL, 'loss_param { ignore_label: 2 }'),
    'infogain': ('InfogainLoss', {'x': (3, 4), 'label': (3,), 'H': (4, 4)}, MATRIX + 'loss_param { ignore_label: 2 }'),
    'euclidean': ('EuclideanLoss', {'a': (3, 4), 'b': (3, 4)}, ''),
    'contrastive': (
        'ContrastiveLoss',
        {'a': (4, 3), 'b': (4, 3), 'label': (4,)},
        'contrastive_loss_param { margin: 3 }',
    ),
    'hinge': ('HingeLoss', {'x': (3, 4), 'label': (3,)}, ''),
    'hinge_l2': ('HingeLoss', {'x': (3, 4), 'label': (3,)}, 'hinge_loss_param { norm: L2 }'),
    'sigmoid': ('SigmoidCrossEntropyLoss', {'x': (3, 4), 'label': (3, 4)}, 'loss_param { ignore_label: 2 }'),
}
