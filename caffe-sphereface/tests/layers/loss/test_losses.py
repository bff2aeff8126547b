"""Loss layers and Accuracy against torch, hand-computed numbers and numeric gradients."""

import math

import numpy as np
import pytest
import torch

import caffe
from caffe.errors import CaffeError
from gradcheck import check_gradient
from layer_case import layer, make_net
from loss_cases import GRADIENTS, MATRIX, SPATIAL

LABELS = np.random.default_rng(3).integers(0, 5, (2, 3, 4))
DIVISORS = {'FULL': 24, 'VALID': int((LABELS != 2).sum()), 'BATCH_SIZE': 2, 'NONE': 1}


def loss_of(kind, bottoms, values, extra='', tops='loss', weight=None):
    """A net of one loss (or Accuracy) after forward and backward, with the given inputs."""
    extra += MATRIX if 'H' in values else ''
    extra += f' loss_weight: {weight}' + ' loss_weight: 0' * (len(tops.split()) - 1) if weight else ''
    shapes = {name: np.shape(value) for name, value in values.items()}
    net = make_net(layer(kind, bottoms, tops, extra), shapes, force_backward='H' not in values and kind != 'Accuracy')
    for name, value in values.items():
        net.blobs[name].data[...] = value
    net.forward()
    net.backward()
    return net


@pytest.mark.parametrize('mode', DIVISORS)
def test_softmax_loss_modes_equal_cross_entropy(mode):
    x = np.random.default_rng(0).normal(size=SPATIAL['x']).astype('f')
    net = loss_of(
        'SoftmaxWithLoss',
        'x label',
        {'x': x, 'label': LABELS},
        weight=0.7,
        extra=f'loss_param {{ ignore_label: 2 normalization: {mode} }}',
    )
    scores = torch.from_numpy(x).requires_grad_()
    want = torch.nn.functional.cross_entropy(scores, torch.from_numpy(LABELS), ignore_index=2, reduction='sum')
    want = want / DIVISORS[mode]
    (0.7 * want).backward()
    np.testing.assert_allclose(net.blobs['loss'].data, want.item(), rtol=1e-5)
    np.testing.assert_allclose(net.blobs['x'].diff, scores.grad, atol=1e-6)


@pytest.mark.parametrize('old, divisor', [('normalize: true', DIVISORS['VALID']), ('normalize: false', 2)])
def test_the_old_normalize_field(old, divisor):
    x = np.random.default_rng(0).normal(size=SPATIAL['x']).astype('f')
    inputs = {'x': x, 'label': LABELS}
    total = loss_of('SoftmaxWithLoss', 'x label', inputs, 'loss_param { ignore_label: 2 normalization: NONE }')
    net = loss_of('SoftmaxWithLoss', 'x label', inputs, f'loss_param {{ ignore_label: 2 {old} }}')
    assert float(net.blobs['loss'].data) == pytest.approx(float(total.blobs['loss'].data) / divisor, rel=1e-5)


def test_softmax_loss_is_at_most_that_of_the_smallest_normal_float():
    net = loss_of('SoftmaxWithLoss', 'x label', {'x': [[0, 1000], [0, 0]], 'label': [0, 1]})
    assert float(net.blobs['loss'].data) == pytest.approx((87.3365 + math.log(2)) / 2, abs=1e-4)
    np.testing.assert_allclose(net.blobs['x'].diff, [[-0.5, 0.5], [0.25, -0.25]])


def test_softmax_loss_along_another_axis():
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype('f')
    label = [[0, 1, 3], [2, 2, 0]]
    net = loss_of('SoftmaxWithLoss', 'x label', {'x': x, 'label': label}, 'softmax_param { axis: -1 }')
    p = torch.softmax(torch.from_numpy(x), 2).numpy()
    want = -np.log(np.take_along_axis(p, np.array(label)[:, :, None], 2)).mean()
    assert float(net.blobs['loss'].data) == pytest.approx(want, rel=1e-5)


def test_everything_ignored_gives_zero():
    net = loss_of('SoftmaxWithLoss', 'x label', {'x': [[1, 2, 3]], 'label': [1]}, 'loss_param { ignore_label: 1 }')
    assert float(net.blobs['loss'].data) == 0
    assert not net.blobs['x'].diff.any()


@pytest.mark.parametrize('kind', ['SoftmaxWithLoss', 'Accuracy', 'HingeLoss', 'MultinomialLogisticLoss'])
@pytest.mark.parametrize('label', [-1, 3])
def test_a_label_out_of_range_is_named(kind, label):
    with pytest.raises(caffe.CaffeError, match=f"'layer'.*{kind}.*labels from .*expected 0 to 2"):
        loss_of(kind, 'x label', {'x': [[1, 2, 3]] * 2, 'label': [0, label]})


@pytest.mark.parametrize('kind', ['SoftmaxWithLoss', 'Accuracy', 'HingeLoss', 'MultinomialLogisticLoss'])
def test_too_many_labels_are_refused(kind):
    with pytest.raises(caffe.CaffeError, match='expected 2 labels'):
        make_net(layer(kind, 'x label'), {'x': (2, 3), 'label': (2, 2)})


LOSSES = ['SoftmaxWithLoss', 'HingeLoss', 'MultinomialLogisticLoss', 'SigmoidCrossEntropyLoss', 'EuclideanLoss']


@pytest.mark.parametrize('kind', LOSSES)
@pytest.mark.parametrize('second', [(1, 2), ()])
def test_the_bottoms_of_a_loss_agree_in_their_first_dimension(kind, second):
    with pytest.raises(caffe.CaffeError, match='expected the same first dimension'):
        make_net(layer(kind, 'x label'), {'x': (2, 1), 'label': second})


@pytest.mark.parametrize('x, label', [((2, 3, 1, 2), (2,)), ((2, 3), (1, 2))])
def test_contrastive_loss_takes_vectors_and_one_value_for_each(x, label):
    with pytest.raises(caffe.CaffeError, match=r'expected \(N, C\) twice and \(N\)'):
        make_net(layer('ContrastiveLoss', 'a b label'), {'a': x, 'b': x, 'label': label})


@pytest.mark.parametrize('weights', ['', 'loss_weight: 1', 'loss_weight: 1 loss_weight: 0'])
def test_softmax_loss_has_one_top_as_in_genuine_caffe(weights):
    with pytest.raises(caffe.CaffeError, match='has 2 top blobs, expected 1'):
        make_net(layer('SoftmaxWithLoss', 'x label', 'loss p', weights), {'x': (2, 3), 'label': (2,)})


def test_a_loss_of_two_tops_needs_a_weight_for_each():
    shapes = {'x': (2, 3), 'label': (2,), 'H': (3, 3)}
    for weights, given in (('', 0), ('loss_weight: 1', 1)):
        with pytest.raises(caffe.CaffeError, match=rf'given {given} times, expected once per top \(2\)$'):
            make_net(layer('InfogainLoss', 'x label H', 'loss p', weights), shapes)
    net = make_net(layer('InfogainLoss', 'x label H', 'loss p', 'loss_weight: 1 loss_weight: 0'), shapes)
    net.blobs['label'].data[...] = 1
    net.forward()
    np.testing.assert_allclose(net.blobs['p'].data.sum(1), 1, rtol=1e-5)


def test_a_learned_label_is_refused():
    learned = layer('InnerProduct', 'x', 'l', 'inner_product_param { num_output: 1 }').replace('"layer"', '"ip"')
    net = make_net(learned + layer('SoftmaxWithLoss', 'x l'), {'x': (2, 3)})
    net.forward()
    with pytest.raises(caffe.CaffeError, match='holds labels'):
        net.backward()


def test_accuracy_counts_ties_against():
    net = loss_of('Accuracy', 'x label', {'x': [[1, 1, 0], [2, 1, 0], [0, 0, 0]], 'label': [0, 0, 2]})
    assert float(net.blobs['loss'].data) == pytest.approx(1 / 3)


def test_accuracy_top_k_of_spatial_scores_equals_sorting():
    x = np.random.default_rng(1).normal(size=SPATIAL['x'])
    net = loss_of(
        'Accuracy',
        'x label',
        {'x': x, 'label': LABELS},
        tops='a c',
        extra='accuracy_param { top_k: 2 ignore_label: 4 }',
    )
    best = np.argsort(-x, 1)[:, :2]
    right, counted = (best == LABELS[:, None]).any(1), LABELS != 4
    assert float(net.blobs['a'].data) == pytest.approx(right[counted].mean())
    each = [right[LABELS == k].mean() if k != 4 and (LABELS == k).any() else 0 for k in range(5)]
    np.testing.assert_allclose(net.blobs['c'].data, each, atol=1e-6)


def test_accuracy_of_nothing_is_zero():
    net = loss_of('Accuracy', 'x label', {'x': [[1, 2]], 'label': [1]}, 'accuracy_param { ignore_label: 1 }')
    assert float(net.blobs['loss'].data) == 0
    with pytest.raises(caffe.CaffeError, match='top_k is 3'):
        make_net(layer('Accuracy', 'x label', extra='accuracy_param { top_k: 3 }'), {'x': (2, 2), 'label': (2,)})


def test_euclidean_loss_by_hand():
    net = loss_of('EuclideanLoss', 'a b', {'a': [[1, 2], [3, 4]], 'b': [[1, 0], [0, 4]]}, weight=2)
    assert float(net.blobs['loss'].data) == pytest.approx((4 + 9) / 4)
    np.testing.assert_allclose(net.blobs['a'].diff, [[0, 2], [3, 0]])
    np.testing.assert_allclose(net.blobs['b'].diff, [[0, -2], [-3, 0]])


@pytest.mark.parametrize(
    'legacy, unlike, coinciding, pull', [('false', (3 - 1) ** 2, 3**2, 3 - 1), ('true', 3 - 1, 3, 1)]
)
def test_contrastive_loss_by_hand(legacy, unlike, coinciding, pull):
    values = {'a': [[3, 4], [1, 0], [9, 9], [0, 0]], 'b': [[0, 0]] * 4, 's': [1, 0, 0, 0]}
    extra = f'contrastive_loss_param {{ margin: 3 legacy_version: {legacy} }}'
    net = loss_of('ContrastiveLoss', 'a b s', values, extra)
    assert float(net.blobs['loss'].data) == pytest.approx((25 + unlike + coinciding) / 8)
    np.testing.assert_allclose(net.blobs['a'].diff, [[3 / 4, 1], [-pull / 4, 0], [0, 0], [0, 0]], atol=1e-4)
    np.testing.assert_allclose(net.blobs['b'].diff, -net.blobs['a'].diff)


@pytest.mark.parametrize('norm, want', [('L1', (0.5 + 2.5) / 2), ('L2', (0.25 + 6.25) / 2)])
def test_hinge_loss_by_hand(norm, want):
    # margins: 1 - 2 -> 0, 1 + (-0.5) = 0.5; 1 + 1.5 = 2.5, 1 - 3 -> 0
    values = {'x': [[2, -0.5], [1.5, 3]], 'label': [0, 1]}
    net = loss_of('HingeLoss', 'x label', values, f'hinge_loss_param {{ norm: {norm} }}')
    assert float(net.blobs['loss'].data) == pytest.approx(want)


def test_multinomial_loss_has_a_floor():
    net = loss_of('MultinomialLogisticLoss', 'p label', {'p': [[0.25, 0.75], [0, 1]], 'label': [0, 0]})
    assert float(net.blobs['loss'].data) == pytest.approx((math.log(4) + 20 * math.log(10)) / 2, rel=1e-5)


def test_infogain_with_identity_is_softmax_loss():
    x = np.random.default_rng(0).normal(size=SPATIAL['x']).astype('f')
    common = 'loss_param { ignore_label: 2 }'
    want = loss_of('SoftmaxWithLoss', 'x label', {'x': x, 'label': LABELS}, common)
    got = loss_of('InfogainLoss', 'x label H', {'x': x, 'label': LABELS, 'H': np.eye(5)}, common)
    np.testing.assert_allclose(got.blobs['loss'].data, want.blobs['loss'].data, rtol=1e-5)
    np.testing.assert_allclose(got.blobs['x'].diff, want.blobs['x'].diff, atol=1e-6)


def test_infogain_matrix_from_a_file(tmp_path):
    matrix = np.random.default_rng(1).random((3, 3)).astype('f')
    path = tmp_path / 'H.binaryproto'
    path.write_bytes(caffe.io.array_to_blobproto(matrix).SerializeToString())
    values = {'x': [[1, 2, 3], [0, 2, 0]], 'label': [2, 0]}
    file = loss_of('InfogainLoss', 'x label', values, f'infogain_loss_param {{ source: "{path}" }}')
    blob = loss_of('InfogainLoss', 'x label H', {**values, 'H': matrix})
    assert float(file.blobs['loss'].data) == float(blob.blobs['loss'].data)
    with pytest.raises(caffe.CaffeError, match='no infogain matrix'):
        loss_of('InfogainLoss', 'x label', values)


def test_sigmoid_cross_entropy_equals_torch_and_does_not_overflow():
    x = np.array([[0.5, -2, 300], [-300, 1, 0]], 'f')
    target = np.array([[1, 0, 0.25], [0.5, 7, 1]], 'f')
    net = loss_of('SigmoidCrossEntropyLoss', 'x t', {'x': x, 't': target}, 'loss_param { ignore_label: 7 }')
    counted = torch.from_numpy(target != 7)
    each = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(x)[counted], torch.from_numpy(target)[counted], reduction='sum'
    )
    assert float(net.blobs['loss'].data) == pytest.approx(each.item() / 2, rel=1e-5)
    assert net.blobs['x'].diff[1, 1] == 0
    np.testing.assert_allclose(net.blobs['x'].diff[0], (1 / (1 + np.exp(-x[0])) - target[0]) / 2, atol=1e-6)


@pytest.mark.parametrize('case', GRADIENTS)
def test_backward_is_the_derivative(case):
    kind, shapes, extra = GRADIENTS[case]
    labels = np.random.default_rng(5).integers(0, 3, shapes['label']) if 'label' in shapes else None
    # 1e-4 in the divisor of the contrastive gradient
    tolerance = 1e-4 if case == 'contrastive' else 1e-6
    check_gradient(
        layer(kind, ' '.join(shapes), 'loss', extra),
        shapes,
        skip={'label', 'H'},
        tolerance=tolerance,
        values={} if labels is None else {'label': labels},
        kinks=(1, -1),
        force_backward='H' not in shapes,
    )


def test_multinomial_backward_is_the_derivative():
    p = np.random.default_rng(0).dirichlet(np.ones(4), 3)
    check_gradient(
        layer('MultinomialLogisticLoss', 'p label', 'loss'),
        {'p': (3, 4), 'label': (3,)},
        values={'p': p, 'label': [0, 3, 1]},
        skip={'label'},
    )


@pytest.mark.parametrize('stated', [(), (0.5, 2, 3)])
def test_labels_are_weighted_by_class_or_by_how_often_they_occur(stated):
    extra = f'loss_param {{ weight_by_label_freqs: true ignore_label: 9 class_weighting: {list(stated)} }}'
    text, labels = layer('SoftmaxWithLoss', 'x label', 'loss', extra), np.array([0, 2, 0, 9, 0])
    shapes = {'x': (5, 3), 'label': (5,)}
    net = make_net(text, shapes)
    net.blobs['label'].data[...] = labels
    net.forward()
    x, counted = net.blobs['x'].data.astype('d'), labels < 9
    losses = np.log(np.exp(x).sum(1)) - x[np.arange(5), np.where(counted, labels, 0)]
    weights = np.array(stated or (1 / 3, 1, 1))[np.where(counted, labels, 0)]
    np.testing.assert_allclose(net.blobs['loss'].data, (losses * weights)[counted].sum() / 4, rtol=1e-5)
    check_gradient(text, shapes, values={'label': labels}, skip={'label'})


def test_accuracy_takes_the_least_distance_where_less_is_better():
    text = layer('Accuracy', 'x label', 'right', 'accuracy_param { min_is_better: true }')
    net = make_net(text, {'x': (3, 3), 'label': (3,)}, force_backward=False)
    net.blobs['x'].data[...] = [[1, 2, 3], [3, 1, 2], [3, 1, 2]]
    net.blobs['label'].data[...] = [0, 1, 2]
    net.forward()
    assert net.blobs['right'].data == pytest.approx(2 / 3)


def softmax_gradient(extra, x, labels):
    """(loss, gradient of the scores) of a SoftmaxWithLoss."""
    net = make_net(layer('SoftmaxWithLoss', 'x label', 'loss', extra), {'x': x.shape, 'label': labels.shape})
    net.blobs['x'].data[...], net.blobs['label'].data[...] = x, labels
    net.forward()
    net.backward()
    return float(net.blobs['loss'].data), net.blobs['x'].diff.astype('d')


def test_smoothed_labels_are_in_the_gradient_alone():
    random = np.random.default_rng(1)
    x, labels = random.normal(size=(5, 4)).astype('f'), np.array([0, 3, 9, 1, 3])
    plain, smooth = (
        softmax_gradient(f'loss_param {{ ignore_label: 9 label_smoothing: {s} }}', x, labels) for s in (0, 0.2)
    )
    p = np.exp(x.astype('d')) / np.exp(x.astype('d')).sum(1, keepdims=True)
    wanted = p * (1 - 0.2 / 4) - 0.2 / 4
    counted = labels < 9
    wanted[counted, labels[counted]] += 0.2 / 4 - (1 - 0.2)
    assert smooth[0] == plain[0]
    np.testing.assert_allclose(smooth[1], np.where(counted[:, None], wanted, 0) / 4, atol=1e-6)
    # the rows of softened targets that sum to 1 are pushed by what sums to 0
    np.testing.assert_allclose(smooth[1].sum(1), 0, atol=1e-6)


@pytest.mark.parametrize('kind', ['L1', 'L2'])
def test_scores_over_their_norm_may_stand_for_probabilities(kind):
    x, labels = np.random.default_rng(1).uniform(0.1, 1, (3, 4)).astype('f'), np.array([0, 3, 1])
    loss, gradient = softmax_gradient(f'softmax_param {{ normalize_type: "{kind}" }}', x, labels)
    p = x / (x.sum(1, keepdims=True) if kind == 'L1' else np.sqrt((x**2).sum(1, keepdims=True)))
    assert loss == pytest.approx(-np.log(p[range(3), labels]).mean(), rel=1e-5)
    np.testing.assert_allclose(gradient, (p - np.eye(4)[labels]) / 3, atol=1e-5)


@pytest.mark.parametrize(
    'extra, message',
    [
        ('softmax_param { normalize_type: "L3" }', "normalize_type is 'L3'"),
        ('loss_param { label_smoothing: 1 }', 'label_smoothing is 1'),
    ],
)
def test_other_ways_to_normalise_or_smooth_are_refused(extra, message):
    with pytest.raises(caffe.CaffeError, match=message):
        softmax_gradient(extra, np.zeros((2, 3)), np.zeros(2))


@pytest.mark.parametrize('switch, share', [('', 1), (' true_gradient: true', 0)])
def test_voxels_without_a_class_count_in_the_divisor_and_have_no_loss(switch, share):
    x = np.random.default_rng(0).normal(size=SPATIAL['x']).astype('f')
    labels = np.where(LABELS == 2, 255, LABELS)
    net = loss_of('VoxelSoftmaxWithLoss', 'x label', {'x': x, 'label': labels}, switch)
    scores = torch.from_numpy(x).requires_grad_()
    want = torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels), ignore_index=255, reduction='sum') / 24
    want.backward()
    unknown = torch.from_numpy(labels == 255).unsqueeze(1) * scores.detach().softmax(1) / 24
    assert float(net.blobs['loss'].data) == pytest.approx(want.item(), rel=1e-5)
    np.testing.assert_allclose(net.blobs['x'].diff, scores.grad + share * unknown, atol=1e-6)


def segmented(scores, labels, fields='', forwards=1):
    """The three shares that SegAccuracy gives."""
    text = layer('SegAccuracy', 'x label', 'y', f'seg_accuracy_param {{ {fields} }}')
    net = make_net(text, {'x': scores.shape, 'label': labels.shape}, force_backward=False)
    for _ in range(forwards):
        net.blobs['x'].data[...], net.blobs['label'].data[...] = scores, labels
        net.forward()
    assert net.blobs['y'].shape == (1, 1, 1, 3)
    return net.blobs['y'].data.ravel().tolist()


def test_shares_of_pixels_by_hand():
    # predicted 0 1 1 2 of labels 0 1 2 2, and one that is ignored; class 3 does not occur
    scores = np.zeros((1, 4, 1, 5), 'f')
    for place, kind in enumerate([0, 1, 1, 2, 3]):
        scores[0, kind, 0, place] = 1
    labels = np.array([0, 1, 2, 2, 255], 'f').reshape(1, 1, 1, 5)
    wanted = [3 / 4, (1 + 1 + 1 / 2) / 3, (1 + 1 / 2 + 1 / 2 + 1) / 4]
    assert segmented(scores, labels, 'ignore_label: 255') == pytest.approx(wanted)
    assert segmented(scores, labels, 'ignore_label: 255 reset: false', forwards=2) == pytest.approx(wanted)
    with pytest.raises(CaffeError, match='has labels from 0 to 255, expected 0 to 3'):
        segmented(scores, labels)


def test_counts_of_pixels_go_on_without_reset():
    scores, labels = np.zeros((1, 2, 1, 1), 'f'), np.zeros((1, 1, 1, 1), 'f')
    text = layer('SegAccuracy', 'x label', 'y', 'seg_accuracy_param { reset: false }')
    net = make_net(text, {'x': scores.shape, 'label': labels.shape}, force_backward=False)
    for right in (1, -1):
        net.blobs['x'].data[...] = [[[[right]], [[0]]]]
        net.blobs['label'].data[...] = labels
        net.forward()
    assert net.blobs['y'].data.ravel().tolist() == [0.5, 0.5, pytest.approx((0.5 + 0) / 2)]


def test_one_channel_stands_for_two_classes():
    scores, labels = np.array([0.2, 0.7, 0.9], 'f').reshape(1, 1, 1, 3), np.array([0, 1, 0], 'f').reshape(1, 1, 1, 3)
    assert segmented(scores, labels) == pytest.approx([2 / 3, (1 / 2 + 1) / 2, (1 / 2 + 1 / 2) / 2])
