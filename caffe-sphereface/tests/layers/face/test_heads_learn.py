"""Heads of the forks in nets that learn from them, through a solver: losses fall, features part by class."""

import numpy as np
import pytest

import caffe

DATA = """
layer { name: "data" type: "Input" top: "x" top: "label"
        input_param { shape { dim: 24 dim: 6 } shape { dim: 24 } } }
"""
FEATURE = """
layer { name: "f" type: "InnerProduct" bottom: "x" top: "f"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""
COSINE = """
layer { name: "n" type: "Normalize" bottom: "f" top: "n" }
layer { name: "w" type: "InnerProduct" bottom: "n" top: "w"
        inner_product_param { num_output: 4 normalize: true bias_term: false weight_filler { type: "xavier" } } }
"""
SCALED = """
layer { name: "s" type: "Scale" bottom: "m" top: "s" param { lr_mult: 0 } scale_param { filler { value: 8 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "label" top: "loss" }
"""
LOSS = 'layer { name: "loss" type: "%s" bottom: "m" bottom: "label" top: "loss" %s }\n'


def margin(kind, extra=''):
    return f'layer {{ name: "m" type: "{kind}" bottom: "w" bottom: "label" top: "m" {extra} }}\n'


HEADS = {
    'CosFace': COSINE + margin('LabelSpecificAdd', 'label_specific_add_param { bias: -0.35 }') + SCALED,
    'ArcFace': COSINE + margin('CosinAddm', 'cosin_add_m_param { m: 0.3 }') + SCALED,
    'margin in degrees': COSINE
    + margin('LabelSpecificMargin', 'label_specific_margin_param { margin_base: 5 gamma: 0.01 margin_max: 20 }')
    + SCALED,
    'combined': COSINE + margin('CombinedMargin', 'combined_margin_param { m1: 1 m2: 0.2 m3: 0.1 }') + SCALED,
    'AdaCos': COSINE
    + margin('AdaCosAddmScale', 'adacos_add_m_scale_param { m: 0.2 num_classes: 4 }')
    + LOSS % ('SoftmaxWithLoss', ''),
    'L-Softmax': """
layer { name: "m" type: "LargeMarginInnerProduct" bottom: "f" bottom: "label" top: "m" top: "lambda"
        largemargin_inner_product_param { num_output: 4 type: DOUBLE base: 10 gamma: 0.1 power: 1 lambda_min: 1
                                          weight_filler { type: "xavier" } } }
layer { name: "quiet" type: "Silence" bottom: "lambda" }
"""
    + LOSS % ('SoftmaxWithLoss', ''),
    'focal': COSINE.replace('"w"', '"m"') + LOSS % ('FocalLoss', 'focal_loss_param { gamma: 1 }'),
    'centres': COSINE.replace('"w"', '"m"')
    + LOSS % ('SoftmaxWithLoss', '')
    + """
layer { name: "c" type: "CenterLoss" bottom: "f" bottom: "label" top: "c" loss_weight: 0.05 param { lr_mult: 5 }
        center_loss_param { num_output: 4 center_filler { type: "gaussian" std: 0.1 } } }
""",
}


@pytest.mark.parametrize('head', HEADS)
def test_a_head_teaches_classes_to_part(head, tmp_path):
    (tmp_path / 'net.prototxt').write_text(DATA + FEATURE + HEADS[head])
    (tmp_path / 'solver.prototxt').write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 random_seed: 2 max_iter: 100 '
        f'snapshot_prefix: "{tmp_path}/s"'
    )
    net, solver = _fed(caffe.SGDSolver(str(tmp_path / 'solver.prototxt')))
    solver.step(1)
    first = float(net.blobs['loss'].data)
    solver.step(60)
    assert np.isfinite(net.params['f'][0].data).all()
    assert float(net.blobs['loss'].data) < 0.6 * first
    scores = net.blobs['w' if 'w' in net.blobs else 'm'].data
    assert (scores.argmax(1) == net.blobs['label'].data).mean() > 0.9


def _fed(solver):
    """(net, solver) with 24 items of 4 classes."""
    random = np.random.default_rng(0)
    label = np.arange(24) % 4
    solver.net.blobs['label'].data[...] = label
    solver.net.blobs['x'].data[...] = random.normal(0, 2, (4, 6))[label] + random.normal(0, 0.3, (24, 6))
    return solver.net, solver
