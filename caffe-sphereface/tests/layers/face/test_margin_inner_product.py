"""The SphereFace layers: what the goldens do not show."""

import numpy as np
import pytest
import torch

import caffe
from gradcheck import check_gradient
from layer_case import layer, make_net, run

SHAPES = {'x': (6, 5), 'label': (6,)}
LABELS = [0, 3, 1, 3, 2, 0]
FILLER = 'weight_filler { type: "gaussian" std: 1 }'
MARGINS = [('DOUBLE', 2), ('TRIPLE', 3), ('QUADRUPLE', 4)]


def margin(text, schedule='base: 100 gamma: 0.5 lambda_min: 5', tops='y lambda'):
    return layer(
        'MarginInnerProduct',
        'x label',
        tops,
        f'margin_inner_product_param {{ num_output: 4 {FILLER} {schedule} {text} }}',
    )


def margin_net(*text):
    net = make_net(margin(*text), SHAPES)
    net.blobs['label'].data[...] = LABELS
    return net


@pytest.mark.parametrize('kind, count', MARGINS)
def test_the_labelled_logit_falls_with_the_angle(kind, count):
    """Without λ the labelled logit is |x|·ψ(θ) of the paper: (−1)^k cos(mθ) − 2k for θ in [kπ/m, (k+1)π/m]."""
    net = margin_net(f'type: {kind}', 'base: 0')
    net.forward()
    x, w = net.blobs['x'].data.astype('d'), net.params['layer'][0].data.astype('d')
    np.testing.assert_allclose(np.linalg.norm(w, axis=1), 1, rtol=1e-6)
    length = np.linalg.norm(x, axis=1)
    angle = np.arccos((x * w[LABELS]).sum(1) / length)
    k = np.floor(angle * count / np.pi)
    psi = (-1) ** k * np.cos(count * angle) - 2 * k
    rows = np.arange(6)
    np.testing.assert_allclose(net.blobs['y'].data[rows, LABELS], length * psi, rtol=1e-4, atol=1e-4)
    others = x @ w.T
    others[rows, LABELS] = net.blobs['y'].data[rows, LABELS]
    np.testing.assert_allclose(net.blobs['y'].data, others, rtol=1e-4, atol=1e-5)


def test_lambda_counts_forwards_and_stops_at_its_floor():
    net = margin_net('type: QUADRUPLE iteration: 2')
    seen = []
    for _ in range(60):
        net.forward()
        seen.append(float(net.blobs['lambda'].data[0]))
    assert seen == pytest.approx([max(100 / (1 + 0.5 * i), 5) for i in range(3, 63)])


def test_single_is_an_inner_product_with_unit_rows():
    check_gradient(margin('type: SINGLE', tops='y'), SHAPES, values={'label': LABELS}, skip={'label', 'layer'})


def test_the_gradient_of_the_weights_ignores_margin_and_normalisation():
    net = margin_net('type: QUADRUPLE')
    dy = run(net)['y']
    np.testing.assert_allclose(net.params['layer'][0].diff, dy.T @ net.blobs['x'].data, rtol=1e-5, atol=1e-6)


def test_features_move_for_the_other_classes_as_in_an_inner_product():
    net = margin_net('type: DOUBLE')
    net.forward()
    dy = np.random.default_rng(0).standard_normal((6, 4))
    dy[np.arange(6), LABELS] = 0
    net.blobs['y'].diff[...] = dy
    net.backward()
    np.testing.assert_allclose(net.blobs['x'].diff, dy @ net.params['layer'][0].data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('kind, count', MARGINS)
def test_the_labelled_logit_moves_features_as_the_original_does(kind, count):
    """By (λ·w + (a·w + b·x) / √(a² + b²)) / (1 + λ), where a·w + b·x is the gradient of |x|·ψ(θ)."""
    net = margin_net(f'type: {kind}', 'base: 3 gamma: 0')
    net.forward()
    dy = np.zeros((6, 4), 'f')
    dy[np.arange(6), LABELS] = np.linspace(-1, 2, 6)
    net.blobs['y'].diff[...] = dy
    net.backward()
    x = torch.tensor(net.blobs['x'].data.astype('d'))
    w = torch.tensor(net.params['layer'][0].data.astype('d'))[LABELS]
    cosine = ((x * w).sum(1, keepdim=True) / x.norm(dim=1, keepdim=True)).requires_grad_()
    angle = cosine.acos()
    k = (angle * count / torch.pi).floor().detach()
    psi = (-1) ** k * (count * angle).cos() - 2 * k
    (a,) = torch.autograd.grad(psi.sum(), cosine)
    b = (psi - cosine * a) / x.norm(dim=1, keepdim=True)
    moved = ((3 * w + (a * w + b * x) / torch.hypot(a, b)) / 4).detach().numpy()
    np.testing.assert_allclose(net.blobs['x'].diff, dy.sum(1, keepdims=True) * moved, rtol=1e-3, atol=1e-4)


def test_inner_product_normalizes_no_weights_that_a_bottom_gives():
    text = layer('InnerProduct', 'x w', extra='inner_product_param { num_output: 3 normalize: true bias_term: false }')
    net = make_net(text, {'x': (2, 4), 'w': (3, 4)})
    x, weight = (net.blobs[name].data.copy() for name in 'xw')
    np.testing.assert_allclose(net.forward()['y'], x @ weight.T, rtol=1e-5)
    np.testing.assert_array_equal(net.blobs['w'].data, weight)


class Watcher:
    changes = 0

    def before_change(self):
        self.changes += 1


@pytest.mark.parametrize(
    'text',
    [
        margin(''),
        layer('InnerDistance', extra=f'inner_distance_param {{ num_output: 4 {FILLER} normalize: true }}'),
        layer(
            'InnerProduct', extra=f'inner_product_param {{ num_output: 4 {FILLER} normalize: true bias_term: false }}'
        ),
    ],
    ids=['MarginInnerProduct', 'InnerDistance', 'InnerProduct'],
)
def test_who_watches_the_weights_is_told_before_a_forward_normalises_them(text):
    net, watcher = make_net(text, SHAPES if 'label' in text else {'x': SHAPES['x']}), Watcher()
    net.params['layer'][0].watch(watcher)
    net.forward()
    assert watcher.changes == 1


def test_rows_are_normalised_with_a_small_number_under_the_root():
    text = 'inner_product_param { num_output: 2 normalize: true bias_term: false %s }'
    net = make_net(layer('InnerProduct', extra=text % ''), {'x': (1, 2)})
    net.params['layer'][0].data[...] = [[3e-3, 4e-3], [30, 40]]
    net.forward()
    small = np.array([3, 4]) / np.sqrt(25 + 1)
    np.testing.assert_allclose(net.params['layer'][0].data, [small, [0.6, 0.8]], rtol=1e-5)
    transposed = make_net(layer('InnerProduct', extra=text % 'transpose: true'), {'x': (1, 2)})
    transposed.params['layer'][0].data[...] = 3
    transposed.forward()
    assert (transposed.params['layer'][0].data == 3).all()


@pytest.mark.parametrize('label', [-1, 4])
def test_a_label_that_is_no_class(label):
    net = margin_net('type: DOUBLE')
    net.blobs['label'].data[2] = label
    with pytest.raises(caffe.CaffeError, match=r"layer 'layer' \(MarginInnerProduct\).*expected 0 to 3"):
        net.forward()


def inter_class(text):
    net = make_net(
        layer('InterClass', 'x label', 'd', f'inter_class_param {{ num_output: 4 {FILLER} {text} }}'), SHAPES
    )
    net.blobs['label'].data[...] = LABELS
    return net


def test_inter_class_distance_among_classes():
    net = inter_class('type: AMONG')
    net.forward()
    w = net.params['layer'][0].data.astype('d')
    expected = sum(((row - w[label]) ** 2).sum() for row in w for label in LABELS) / 4
    assert net.blobs['d'].data == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('normalize', ['true', 'false'])
def test_inter_class_moves_rows_away_from_the_mean(normalize):
    """Each picture by 4α / (M D² + 1e-5) along the way from the mean row, of unit length with `normalize`."""
    net = inter_class(f'type: AMONG normalize: {normalize} alpha_start_iter: 1 alpha_start_value: 0.5')
    net.forward()
    net.backward()
    w = net.params['layer'][0].data.astype('d')
    mean = w.mean(0) / (np.sqrt((w.mean(0) ** 2).sum() + 1e-5) if normalize == 'true' else 1)
    share = 4 * 0.5 / (6 * float(net.blobs['d'].data) ** 2 + 1e-5)
    times = np.bincount(LABELS, minlength=4)[:, None]
    np.testing.assert_allclose(net.params['layer'][0].diff, -share * times * (w - mean), rtol=1e-4, atol=1e-8)


def test_inter_class_distance_to_the_mean():
    net = inter_class('type: MEAN normalize: false')
    net.forward()
    w = net.params['layer'][0].data.astype('d')
    assert net.blobs['d'].data == pytest.approx(1 - (w[LABELS] @ w.mean(0)).mean(), rel=1e-4, abs=1e-5)


def test_inter_class_weight_follows_its_schedule():
    net = inter_class(
        'type: MEAN normalize: false alpha_start_iter: 2 alpha_start_value: 3 alpha_step: 0.5 '
        'alpha_stepvalue: 3 alpha_stepvalue: 5'
    )
    mean = net.params['layer'][0].data.mean(0)
    seen = []
    for _ in range(6):
        net.clear_param_diffs()
        net.forward()
        net.backward()
        # class 3 occurs twice among the six labels
        seen.append((net.params['layer'][0].diff[3] / mean).mean() * 6 / 2)
    assert seen == pytest.approx([0, 3, 3.5, 3.5, 4, 4], rel=1e-4)
    assert not net.blobs['x'].diff.any()


def test_inter_class_counts_towards_the_loss():
    net = inter_class('type: AMONG')
    assert net.blob_loss_weights['d'] == 1
