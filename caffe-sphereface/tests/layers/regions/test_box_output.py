"""MS-CNN's BoxOutput and its ROIPooling of widened regions, against plain loops."""

import math

import numpy as np
import pytest

import caffe
from layer_case import layer, make_net

SHAPES = {'a': (2, 7, 4, 5), 'b': (2, 7, 2, 3)}
FIELDS = 'field_w: [20, 50] field_h: [30, 40] downsample_rate: [8, 16]'


def text(more, tops='y z', reg=''):
    return layer('BoxOutput', 'a b', tops, f'box_output_param {{ {FIELDS} {more} }} {reg}')


def overlap(a, b, mode):
    """Of boxes (x, y, width, height, …), the first the better one."""
    sides = [min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i]) for i in range(2)]
    common = max(sides[0], 0) * max(sides[1], 0)
    areas = a[2] * a[3], b[2] * b[3]
    return common / {'IOU': sum(areas) - common, 'IOMU': min(areas), 'IOFU': areas[0]}[mode]


def proposed(maps, threshold, mode='IOU', least=15, before=None, after=None, whr=2, xyr=2, std=(1,) * 4, mean=(0,) * 4):
    """(R, 6) as the layer's second top has it."""
    rows = []
    for image in range(len(maps[0])):
        boxes = []
        for values, width, height, rate in zip((one[image] for one in maps), (20, 50), (30, 40), (8, 16)):
            for h, w in np.ndindex(values.shape[1:]):
                score = max(values[1:3, h, w]) - values[0, h, w]
                x, y, wide, high = (v * s + m for v, s, m in zip(values[3:, h, w], std, mean))
                x, y = (min(max(v, -1 / xyr), 1 / xyr) for v in (x, y))
                wide, high = (math.exp(min(max(v, -math.log(whr)), math.log(whr))) for v in (wide, high))
                wide, high = wide * width, high * height
                x, y = x * width + (w + 0.5) * rate - wide / 2, y * height + (h + 0.5) * rate - high / 2
                x, y = max(x, 0), max(y, 0)
                wide, high = min(wide, values.shape[2] * rate - x), min(high, values.shape[1] * rate - y)
                if score >= threshold and min(wide, high) >= least:
                    boxes.append((x, y, wide, high, score))
        kept = []
        for box in sorted(boxes, key=lambda box: -box[4])[:before]:
            if all(overlap(better, box, mode) <= 0.5 for better in kept):
                kept.append(box)
        rows += [(image, x, y, x + wide, y + high, score) for x, y, wide, high, score in kept[:after]]
    return np.array(rows)


@pytest.mark.parametrize(
    ('more', 'reg', 'arguments'),
    [
        ('', '', {}),
        ('nms_type: "IOMU" min_size: 5', '', {'mode': 'IOMU', 'least': 5}),
        ('nms_type: "IOFU" field_whr: 3 field_xyr: 1', '', {'mode': 'IOFU', 'whr': 3, 'xyr': 1}),
        ('max_nms_num: 6 max_post_nms_num: 2', '', {'before': 6, 'after': 2}),
        (
            'min_size: 1',
            'bbox_reg_param { bbox_mean: [0, 0.1, 0, 0] bbox_std: [0.1, 0.1, 0.2, 0.2] }',
            {'std': (0.1, 0.1, 0.2, 0.2), 'mean': (0, 0.1, 0, 0), 'least': 1},
        ),
    ],
)
def test_proposals_are_those_of_plain_loops(more, reg, arguments):
    net = make_net(text(f'fg_thr: -0.5 {more}', reg=reg), SHAPES, force_backward=False)
    net.forward()
    wanted = proposed([net.blobs[name].data.astype('d') for name in 'ab'], -0.5, **arguments)
    assert len(wanted) > 3
    np.testing.assert_allclose(net.blobs['z'].data.reshape(-1, 6), wanted, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(net.blobs['y'].data, net.blobs['z'].data[:, :5])


def test_of_equal_scores_the_last_comes_first():
    net = make_net(text('min_size: 1', 'y'), SHAPES, force_backward=False)
    for name in 'ab':
        net.blobs[name].data[...] = 0
    net.forward()
    assert net.blobs['y'].data[0, 3, 0, 0] == 48 and net.blobs['y'].data[0, 4, 0, 0] == 32


def test_without_proposals_there_is_one_region_that_means_nothing():
    net = make_net(text('fg_thr: 99'), SHAPES, force_backward=False)
    net.forward()
    assert net.blobs['y'].data.ravel().tolist() == [0, 1, 1, 10, 10]
    assert net.blobs['z'].data.ravel().tolist() == [0] * 6


@pytest.mark.parametrize(
    ('more', 'reg', 'message'),
    [
        ('field_w: 9', '', '2 bottoms, 3 field_w, 2 field_h'),
        ('nms_type: "MAX"', '', "nms_type is 'MAX'"),
        ('field_whr: 0', '', 'expected more than 0'),
        ('', 'bbox_reg_param { bbox_mean: 1 }', '1 bbox_mean and 0 bbox_std, expected 4 each'),
    ],
)
def test_wrong_parameters_are_refused(more, reg, message):
    with pytest.raises(caffe.CaffeError, match=message):
        make_net(text(more, reg=reg), SHAPES, force_backward=False)
    with pytest.raises(caffe.CaffeError, match="bottom 'b' has shape"):
        make_net(text(''), SHAPES | {'b': (2, 6, 2, 3)}, force_backward=False)


def test_regions_are_widened_by_a_part_of_their_size():
    pooling = 'roi_pooling_param {{ pooled_h: 2 pooled_w: 2 spatial_scale: 0.5 {} }}'
    shapes, found = {'x': (2, 3, 16, 16), 'rois': (2, 5)}, []
    for rois, more in (
        ([[0, 8, 8, 15, 19], [1, 4, 9, 11, 12]], 'pad_ratio: 0.25'),
        ([[0, 6, 5, 17, 22], [1, 2, 8, 13, 13]], ''),
    ):
        net = make_net(layer('ROIPooling', 'x rois', extra=pooling.format(more)), shapes, force_backward=False)
        net.blobs['rois'].data[...] = rois
        found.append(net.forward()['y'].copy())
    np.testing.assert_array_equal(*found)
