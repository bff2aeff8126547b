"""MS-CNN's ProposalTarget and DecodeBBox: which regions are taken, and what they are to become."""

import numpy as np
import pytest

import caffe
from layer_case import layer, make_net

TOPS = 'rois label codes inside outside matches'
FIELDS = 'cls_num: 3 num_img_per_batch: 2 fg_thr: 0.5 bg_thr_hg: 0.4 bg_thr_lw: 0.1 img_width: 100 img_height: 80'
REG = 'bbox_reg_param { bbox_mean: [0, 0, 0, 0] bbox_std: [0.1, 0.1, 0.2, 0.2] }'
TRUTH = [[0, 10, 10, 29, 49, 2, 0], [1, 40, 20, 79, 59, 1, 0], [1, 0, 0, 19, 19, 1, 1]]
REGIONS = [
    [0, 12, 12, 31, 51],  # 0.75 of the first true box
    [0, 20, 30, 39, 69],  # some of it
    [1, 40, 20, 79, 49],  # 0.75 of the second
    [1, 0, 0, 19, 17],  # of one that is ignored
    [1, 85, 65, 99, 79],  # nothing
    [0, 40, 20, 79, 59],  # the second's place in the other picture
    [1, 60, 40, 99, 79],  # some of the second
]


def made(more='', extra=REG, tops=TOPS, regions=REGIONS, truth=TRUTH):
    text = layer('ProposalTarget', 'regions truth', tops, f'proposal_target_param {{ {FIELDS} {more} }} {extra}')
    net = make_net(text, {'regions': (len(regions), 5), 'truth': (len(truth), 7)}, force_backward=False)
    net.blobs['regions'].data[...] = regions
    net.blobs['truth'].data[...] = truth
    net.forward()
    return {name: blob.data.reshape(len(blob.data), -1) for name, blob in net.blobs.items()}


def test_all_regions_of_objects_and_background_are_taken_with_a_batch_of_minus_one():
    found = made('batch_size: -1')
    rows = [REGIONS[0], REGIONS[2], *(row[:5] for row in TRUTH[:2]), REGIONS[1], REGIONS[6]]
    assert found['rois'].tolist() == rows
    assert found['label'].ravel().tolist() == [2, 1, 2, 1, 0, 0]
    assert found['matches'][:, 0].tolist() == [2, 1, 2, 1, 0, 0]
    np.testing.assert_allclose(found['matches'][1, 1:], [40, 20, 79, 59, 0.75])
    assert not found['matches'][4:].any() and not found['codes'][4:].any()


def test_codes_say_how_a_region_becomes_its_true_box():
    found = made('batch_size: -1')
    np.testing.assert_allclose(found['codes'][0], [0] * 8 + [-1, -0.5, 0, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found['codes'][1, 4:8], [0, 5 / 30 / 0.1, 0, np.log(4 / 3) / 0.2], rtol=1e-5)
    weights = np.zeros((6, 12))
    weights[[0, 2], 8:] = weights[[1, 3], 4:8] = 1
    assert found['inside'].tolist() == found['outside'].tolist() == weights.tolist()


def test_one_code_of_all_objects_without_classes():
    found = made('batch_size: -1', REG.replace('} ', '').replace('bbox_mean', 'cls_aware: false bbox_mean', 1))
    assert found['codes'].shape == (6, 8)
    np.testing.assert_allclose(found['codes'][0, 4:], [-1, -0.5, 0, 0], rtol=1e-5, atol=1e-6)


def test_the_first_version_states_means_and_deviations_in_its_own_message():
    found = made('batch_size: -1 bbox_mean: [0, 0, 0, 0] bbox_std: [0.2, 0.2, 0.2, 0.2]', '')
    np.testing.assert_allclose(found['codes'][0, 8:], [-0.5, -0.25, 0, 0], rtol=1e-5, atol=1e-6)


def test_a_batch_is_drawn_where_there_are_too_many():
    seen = set()
    for seed in range(8):
        caffe.set_random_seed(seed)
        text = layer('ProposalTarget', 'regions truth', TOPS, f'proposal_target_param {{ {FIELDS} batch_size: 3 }}')
        net = make_net(text, {'regions': (7, 5), 'truth': (3, 7)}, seed=seed, force_backward=False)
        net.blobs['regions'].data[...] = REGIONS
        net.blobs['truth'].data[...] = TRUTH
        net.forward()
        assert np.count_nonzero(net.blobs['label'].data) == 1  # a quarter of three
        seen.add(tuple(net.blobs['rois'].data[0].ravel()))
    assert len(seen) > 1


def test_too_little_background_is_filled_up_by_other_regions_and_random_ones():
    found = made('batch_size: 20')
    rows = found['rois'].tolist()
    assert rows[4:8] == [REGIONS[1], REGIONS[6], REGIONS[4], REGIONS[5]]
    assert found['label'].ravel().tolist() == [2, 1, 2, 1] + [0] * 16
    for image, x1, y1, x2, y2 in rows[8:]:
        assert image in (0, 1) and min(x1, y1) >= 0 and min(x2 - x1, y2 - y1) >= 31 and x2 <= 99 and y2 <= 79


def test_weights_give_objects_their_share():
    found = made('batch_size: -1 iou_weighted: true', tops=TOPS + ' weights')
    own = np.array([found['matches'][i, 5] for i in range(4)])
    np.testing.assert_allclose(found['weights'].ravel(), [*own / own.sum() * 1.5, 2.25, 2.25], rtol=1e-5)


def test_regions_take_no_gradient_and_need_none():
    text = (
        layer('InnerProduct', 'regions', 'r', 'inner_product_param { num_output: 5 }').replace('"layer"', '"ip"')
        + layer('ProposalTarget', 'r truth', TOPS, f'proposal_target_param {{ {FIELDS} }}')
        + 'layer { name: "e" type: "EuclideanLoss" bottom: "codes" bottom: "inside" top: "loss" }'
    )
    net = make_net(text, {'regions': (7, 5), 'truth': (3, 7)}, caffe.TRAIN, force_backward=False)
    net.blobs['regions'].data[...] = 0
    net.blobs['truth'].data[...] = TRUTH
    net.forward()
    net.backward()
    assert not net.params['ip'][0].diff.any()


@pytest.mark.parametrize(
    'more, message',
    [
        ('batch_size: 0', 'batch_size is 0, expected at least 1, or -1'),
        ('fg_thr: 0.3', 'fg_thr is 0.3, bg_thr_hg 0.4'),
        ('img_width: 32', 'expected more than 32'),
        ('num_img_per_batch: 1', 'regions of images 0 to 1, expected 0 to 0'),
        ('cls_num: 2', 'true boxes of classes 1 to 2, expected 1 to 1'),
    ],
)
def test_wrong_parameters_and_values_are_refused(more, message):
    fields = {name: value for name, value in zip(FIELDS.split()[::2], FIELDS.split()[1::2])}
    name, value = more.split()
    text = ' '.join(f'{key} {number}' for key, number in (fields | {name: value}).items())
    text = layer('ProposalTarget', 'regions truth', TOPS, f'proposal_target_param {{ {text} }}')
    with pytest.raises(caffe.CaffeError, match=message):
        net = make_net(text, {'regions': (7, 5), 'truth': (3, 7)}, force_backward=False)
        net.blobs['regions'].data[...] = REGIONS
        net.blobs['truth'].data[...] = TRUTH
        net.forward()


def decoded(phase, codes, regions, matches=None, extra=REG):
    shapes = {'codes': (len(codes), 8), 'regions': (len(regions), 5)}
    bottoms = 'codes regions'
    if matches is not None:
        shapes, bottoms = shapes | {'matches': (len(matches), 6)}, bottoms + ' matches'
    net = make_net(layer('DecodeBBox', bottoms, 'y', extra), shapes, phase, force_backward=False)
    for name, values in zip(shapes, (codes, regions, matches)):
        net.blobs[name].data[...] = values
    return net.forward()['y'].reshape(-1, 5)


def test_decoding_undoes_the_codes_of_the_class_of_objects():
    found = made('batch_size: -1')
    codes = np.concatenate([np.full((6, 4), 9), found['codes'].reshape(6, 3, 4).sum(1)], 1)
    boxes = decoded(caffe.TEST, codes, found['rois'])
    np.testing.assert_allclose(
        boxes[:4], [[m[0], *m[1:5]] for m in (TRUTH[0], TRUTH[1], TRUTH[0], TRUTH[1])], atol=1e-3
    )
    np.testing.assert_allclose(boxes[4:], found['rois'][4:], atol=1e-3)


def test_training_leaves_out_true_boxes_and_those_turned_inside_out():
    codes = np.zeros((3, 8))
    codes[1, 6] = -30  # 20 · e⁻⁶ pixels wide
    regions = np.array([[0, 10, 10, 29, 49], [0, 10, 10, 29, 49], [1, 5, 5, 30, 30]])
    matches = np.array([[2, 0, 0, 0, 0, 0.6], [1, 0, 0, 0, 0, 0.6], [1, 0, 0, 0, 0, 0.96]])
    assert len(decoded(caffe.TEST, codes, regions)) == 3
    np.testing.assert_allclose(decoded(caffe.TRAIN, codes, regions), regions[[0, 2]])
    np.testing.assert_allclose(decoded(caffe.TRAIN, codes, regions, matches), regions[:1])
    more = REG + ' decode_bbox_param { gt_iou_thr: 0.98 }'
    np.testing.assert_allclose(decoded(caffe.TRAIN, codes, regions, matches, more), regions[[0, 2]])
    assert decoded(caffe.TRAIN, codes[2:], regions[2:], matches[2:]).tolist() == [[0, 1, 1, 10, 10]]


def test_wrong_bottoms_of_decoding_are_refused():
    with pytest.raises(caffe.CaffeError, match="bottom 'codes' has shape"):
        make_net(layer('DecodeBBox', 'codes regions'), {'codes': (3, 12), 'regions': (3, 5)})
    with pytest.raises(caffe.CaffeError, match='has 3 bottom blobs, expected 2 in TEST'):
        make_net(layer('DecodeBBox', 'a b c'), {'a': (3, 8), 'b': (3, 5), 'c': (3, 6)})
    with pytest.raises(caffe.CaffeError, match='bbox_std is 0, expected more than 0'):
        extra = 'bbox_reg_param { bbox_mean: [0, 0, 0, 0] bbox_std: [1, 1, 0, 1] }'
        make_net(layer('DecodeBBox', 'a b', extra=extra), {'a': (3, 8), 'b': (3, 5)})
