"""MultiBoxLoss with options that few nets use, each against the same loss without it."""

import numpy as np
import pytest

import caffe
from gradcheck import check_gradient
from layer_case import layer, make_net

random = np.random.default_rng(4)
CORNERS = random.uniform(0.05, 0.5, (6, 2))
INSIDE = np.stack([np.hstack([CORNERS, CORNERS + 0.4]).ravel(), np.tile([0.1, 0.1, 0.2, 0.2], 6)])[None]
ACROSS = INSIDE.copy()
ACROSS[0, 0, :4] = -0.2, 0.1, 0.3, 0.5
TRUTH = [[[[0, 1, 0, 0.1, 0.15, 0.5, 0.5, 0], [1, 2, 0, 0.3, 0.2, 0.7, 0.6, 0], [0, 2, 1, 0.5, 0.5, 0.9, 0.9, 0]]]]


def loss(options, location, scores, prior=INSIDE, truth=TRUTH, extra=''):
    """(loss, gradient of the locations, of the scores) of a MultiBoxLoss with these options."""
    text = layer('MultiBoxLoss', 'l c prior gt', 'loss', f'{extra} multibox_loss_param {{ {options} }}')
    shapes = {'l': location.shape, 'c': scores.shape, 'prior': prior.shape, 'gt': np.shape(truth)}
    net = make_net(text, shapes, phase=caffe.TRAIN)
    for name, values in zip(shapes, (location, scores, prior, truth)):
        net.blobs[name].data[...] = values
    net.forward()
    net.layers[-1].backward([net.blobs['loss']], [True, True, False, False], [net.blobs[name] for name in shapes])
    return float(net.blobs['loss'].data), net.blobs['l'].diff.copy(), net.blobs['c'].diff.copy()


BASE = 'num_classes: 3 code_type: CENTER_SIZE overlap_threshold: 0.3 '
LOCATION, SCORES = random.normal(0, 1, (2, 24)), random.normal(0, 1, (2, 18))


def agree(one, other):
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(one, other))


def test_locations_of_each_class_count_for_its_objects():
    shared = loss(BASE + 'mining_type: NONE', LOCATION, SCORES)
    each = np.repeat(LOCATION.reshape(2, 6, 1, 4), 3, 2).reshape(2, 72)
    value, location, scores = loss(BASE + 'mining_type: NONE share_location: false', each, SCORES)
    location = location.reshape(2, 6, 3, 4)
    agree((value, location.sum(2).reshape(2, 24), scores), shared)
    assert not location[:, :, 0].any() and location[:, :, 1].any() and location[:, :, 2].any()


def test_predicted_boxes_that_are_the_default_ones_match_alike_and_others_do_not():
    plain = loss(BASE, 0 * LOCATION, SCORES)
    agree(loss(BASE + 'use_prior_for_matching: false', 0 * LOCATION, SCORES), plain)
    moved = [loss(BASE + option, 3 * LOCATION, SCORES)[0] for option in ('', 'use_prior_for_matching: false')]
    assert moved[0] != pytest.approx(moved[1], rel=1e-3)


def test_corners_beyond_the_picture_are_not_learned_with_bp_inside():
    agree(loss(BASE + 'bp_inside: true', LOCATION, SCORES), loss(BASE, LOCATION, SCORES))
    options = BASE.replace('0.3', '0.2')
    _, plain, _ = loss(options, LOCATION, SCORES, ACROSS)
    value, location, _ = loss(options + 'bp_inside: true', LOCATION, SCORES, ACROSS)
    assert plain[0, 0] != 0 and location[0, 0] == 0
    assert np.array_equal(np.delete(location, 0, 1), np.delete(plain, 0, 1))


@pytest.mark.parametrize('mining', ['MAX_NEGATIVE', 'HARD_EXAMPLE'])
def test_default_boxes_across_the_border_stand_for_nothing_when_ignored(mining):
    options = BASE.replace('0.3', '0.2') + f'mining_type: {mining} neg_overlap: 0.9 neg_pos_ratio: 9 '
    _, location, scores = loss(options, LOCATION, SCORES, ACROSS)
    assert location[0, :4].any() and scores[0, :3].any()
    _, location, scores = loss(options + 'ignore_cross_boundary_bbox: true', LOCATION, SCORES, ACROSS)
    assert not location[:, :4].any() and not scores[:, :3].any() and scores[:, 3:].any()


def test_all_objects_are_one_class_with_map_object_to_agnostic():
    options, scores = BASE.replace('3', '2', 1), SCORES[:, :12]
    truth = np.array(TRUTH)
    truth[..., 1] = 1
    agree(
        loss(options + 'map_object_to_agnostic: true', LOCATION, scores, truth=truth),
        loss(options, LOCATION, scores, truth=truth),
    )


def test_distances_are_divided_by_variances_that_are_in_the_target_but_not_their_gradients():
    variances = INSIDE[0, 1]
    value, plain, scores = loss(BASE, LOCATION / variances, SCORES)
    agree(loss(BASE + 'encode_variance_in_target: true', LOCATION, SCORES), (value, plain, scores))
    true = loss(BASE + 'encode_variance_in_target: true', LOCATION, SCORES, extra='true_gradient: true')
    agree(true, (value, plain / variances, scores))


@pytest.mark.parametrize(
    'options',
    [
        'share_location: false mining_type: NONE',
        'use_prior_for_matching: false',
        'bp_inside: true ignore_cross_boundary_bbox: true',
        'encode_variance_in_target: true',
    ],
)
def test_backward_is_the_derivative(options):
    count = 72 if 'share_location' in options else 24
    text = layer(
        'MultiBoxLoss', 'l c prior gt', 'loss', f'true_gradient: true multibox_loss_param {{ {BASE} {options} }}'
    )
    shapes = {'l': (2, count), 'c': (2, 18), 'prior': ACROSS.shape, 'gt': np.shape(TRUTH)}
    values = {'l': np.resize(LOCATION / 9, (2, count)), 'prior': ACROSS, 'gt': TRUTH}
    check_gradient(text, shapes, values=values, skip={'prior', 'gt'}, phase=caffe.TRAIN)


def test_focal_losses_of_default_boxes_without_objects_are_those_of_the_background():
    text = layer('MultiBoxFocalLoss', 'l c prior gt', 'loss', f'multibox_loss_param {{ {BASE} mining_type: NONE }} '
                 'focal_loss_param { alpha: 0.25 gamma: 2 }')  # fmt: skip
    shapes = {'l': (2, 24), 'c': (2, 18), 'prior': INSIDE.shape, 'gt': (1, 1, 1, 8)}
    net = make_net(text, shapes, phase=caffe.TRAIN)
    for name, values in zip(shapes, (LOCATION, SCORES, INSIDE, np.full((1, 1, 1, 8), -1))):
        net.blobs[name].data[...] = values
    scores = SCORES.reshape(12, 3)
    p = np.exp(scores[:, 0]) / np.exp(scores).sum(1)
    assert float(net.forward()['loss']) == pytest.approx((-0.25 * (1 - p) ** 2 * np.log(p)).sum(), rel=1e-5)


def test_backward_of_focal_losses_is_the_derivative():
    text = layer('MultiBoxFocalLoss', 'l c prior gt', 'loss', f'multibox_loss_param {{ {BASE} mining_type: NONE }} '
                 'focal_loss_param { alpha: 0.25 gamma: 2 }')  # fmt: skip
    shapes = {'l': (2, 24), 'c': (2, 18), 'prior': INSIDE.shape, 'gt': np.shape(TRUTH)}
    values = {'l': LOCATION / 9, 'prior': INSIDE, 'gt': TRUTH}
    check_gradient(text, shapes, values=values, skip={'prior', 'gt'}, phase=caffe.TRAIN)
