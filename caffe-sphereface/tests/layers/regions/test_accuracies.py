"""MS-CNN's DetectionAccuracy and BboxAccuracy against plain loops."""

import math

import numpy as np
import pytest

import caffe
from layer_case import layer, make_net

SHAPES = {'x': (2, 7, 3, 4), 'labels': (2, 6, 3, 4)}
REG = 'bbox_reg_param { bbox_mean: [0, 0, 0, 0] bbox_std: [0.1, 0.1, 0.2, 0.2] }'
FIELD = 'cls_num: 3 field_w: 20 field_h: 30 downsample_rate: 8 bg_threshold: 0.4'


def overlap(a, b):
    """Of boxes (x1, y1, x2, y2)."""
    sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in range(2)]
    common = max(sides[0], 0) * max(sides[1], 0)
    return common / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - common)


def cell_labels():
    random = np.random.default_rng(2)
    values = np.zeros(SHAPES['labels'])
    values[:, 0] = random.integers(0, 3, (2, 3, 4))
    rows, columns = np.indices((3, 4))
    values[:, 1:3] = (np.stack([columns, rows]) + 0.5) * 8 + random.normal(0, 3, (2, 2, 3, 4))
    values[:, 3:5] = random.uniform(10, 40, (2, 2, 3, 4))
    values[:, 5] = random.uniform(0, 0.8, (2, 3, 4))
    return values


@pytest.mark.parametrize(
    'more, reg, top, std, whr, xyr',
    [
        ('', '', 1, (1, 1, 1, 1), 2, 4),
        ('top_k: 2 field_whr: 3 field_xyr: 1', REG, 2, (0.1, 0.1, 0.2, 0.2), 3, 1),
    ],
)
def test_accuracies_of_a_map_are_those_of_plain_loops(more, reg, top, std, whr, xyr):
    text = layer('DetectionAccuracy', 'x labels', 'y z', f'detection_accuracy_param {{ {FIELD} {more} }} {reg}')
    net = make_net(text, SHAPES, force_backward=False)
    truth = net.blobs['labels'].data[...] = cell_labels()
    net.blobs['x'].data[0, :3, 0, 0] = 1  # of equal scores the last is the larger
    x = net.blobs['x'].data.astype('d')
    right, right_objects, overlaps = [], [], []
    for i, r, c in np.ndindex(2, 3, 4):
        label = int(truth[i, 0, r, c])
        if label == 0 and truth[i, 5, r, c] >= 0.4:
            continue
        order = sorted(range(3), key=lambda k: (x[i, k, r, c], k), reverse=True)
        right.append(label in order[:top])
        if label:
            right_objects.append(right[-1])
            code = [v * s for v, s in zip(x[i, 3:, r, c], std)]
            mx, my = (min(max(v, -1 / xyr), 1 / xyr) for v in code[:2])
            w, h = (math.exp(min(max(v, -math.log(whr)), math.log(whr))) for v in code[2:])
            mx, my, w, h = mx * 20 + (c + 0.5) * 8, my * 30 + (r + 0.5) * 8, w * 20, h * 30
            cx, cy, tw, th = truth[i, 1:5, r, c]
            coded, true = ((a - u / 2, b - v / 2, a + u / 2, b + v / 2) for a, b, u, v in
                           ((mx, my, w, h), (cx, cy, tw, th)))  # fmt: skip
            overlaps.append(overlap(coded, true))
    found = net.forward()
    np.testing.assert_allclose(found['y'].ravel(), [np.mean(right), np.mean(right_objects)], rtol=1e-6)
    np.testing.assert_allclose(found['z'].ravel(), np.mean(overlaps), rtol=1e-4)


def test_a_map_that_nothing_counts_in_has_minus_one():
    net = make_net(layer('DetectionAccuracy', 'x labels', 'y z', f'detection_accuracy_param {{ {FIELD} }}'), SHAPES)
    net.blobs['labels'].data[...] = 0
    net.blobs['labels'].data[:, 5] = 1
    found = net.forward()
    assert found['y'].ravel().tolist() == [-1, -1] and found['z'].item() == -1


BOXES = {'codes': (4, 12), 'regions': (4, 5), 'matches': (4, 6)}
MATCHES = [[2, 10, 10, 29, 49, 0.6], [0, 0, 0, 0, 0, 0], [1, 5, 8, 20, 20, 0.99], [1, 30, 30, 60, 50, 0.5]]


def test_corrected_regions_are_held_against_what_they_match():
    net = make_net(layer('BboxAccuracy', 'codes regions matches', 'y z', REG), BOXES, force_backward=False)
    codes = net.blobs['codes'].data
    regions = np.array([[0, 12, 8, 33, 45], [0, 1, 1, 5, 5], [1, 5, 8, 20, 20], [1, 25, 33, 50, 60]], float)
    net.blobs['regions'].data[...] = regions
    net.blobs['matches'].data[...] = MATCHES
    old, new = [], []
    for i in (0, 3):
        label, *true, _ = MATCHES[i]
        x1, y1, x2, y2 = regions[i, 1:]
        w, h = x2 - x1 + 1, y2 - y1 + 1
        dx, dy, dw, dh = codes[i, 4 * label : 4 * label + 4] * [0.1, 0.1, 0.2, 0.2]
        cx, cy, nw, nh = dx * w + x1 + w / 2, dy * h + y1 + h / 2, w * math.exp(dw), h * math.exp(dh)
        true = (*true[:2], true[2] + 1, true[3] + 1)
        new.append(overlap((cx - nw / 2, cy - nh / 2, cx + nw / 2, cy + nh / 2), true))
        old.append(overlap((x1, y1, x2 + 1, y2 + 1), true))
    found = net.forward()
    np.testing.assert_allclose([found['y'].item(), found['z'].item()], [np.mean(new), np.mean(old)], rtol=1e-5)


def test_regions_of_no_object_have_minus_one():
    net = make_net(layer('BboxAccuracy', 'codes regions matches', 'y z'), BOXES, force_backward=False)
    net.blobs['matches'].data[...] = 0
    assert [value.item() for value in net.forward().values()] == [-1, -1]


def test_wrong_parameters_and_shapes_are_refused():
    for more, message in (('top_k: 4', 'top_k is 4, expected 1 to 3'), ('coord_num: 3', 'coord_num is 3')):
        with pytest.raises(caffe.CaffeError, match=message):
            make_net(
                layer('DetectionAccuracy', 'x labels', 'y', f'detection_accuracy_param {{ {FIELD} {more} }}'), SHAPES
            )
    with pytest.raises(caffe.CaffeError, match="bottom 'matches' has shape"):
        make_net(layer('BboxAccuracy', 'codes regions matches'), BOXES | {'matches': (4, 5)})
    net = make_net(layer('BboxAccuracy', 'codes regions matches'), BOXES)
    net.blobs['matches'].data[...] = [[3, 1, 1, 5, 5, 0.5]] * 4
    with pytest.raises(caffe.CaffeError, match='regions of class 3, expected classes below 3'):
        net.forward()
