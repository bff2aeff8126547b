"""YOLO's detection layers against loops over anchors, cells and boxes."""

import math

import numpy as np
import pytest

from layer_case import layer, make_net

V2 = 'yolo_detection_output_param { num_classes: 3 num_box: 2 biases: [1, 2, 0.5, 0.7] confidence_threshold: 0.2 }'
V3 = (
    'yolov3_detection_output_param { num_classes: 3 num_box: 2 biases: [10, 20, 30, 15, 8, 4] mask: [2, 1, 0, 1] '
    'anchors_scale: [16, 8] mask_group_num: 2 confidence_threshold: 0.2 nms_threshold: 0.3 }'
)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


def boxes_of(values, anchors):
    """(box, objectness, scores of classes) for each anchor and cell of a map (A · 8, H, W); anchors in parts of 1."""
    _, height, width = values.shape
    for a, (wide, high) in enumerate(anchors):
        for row in range(height):
            for column in range(width):
                x, y, w, h, thing, *classes = (float(v) for v in values[8 * a : 8 * a + 8, row, column])
                cx, cy = (column + sigmoid(x)) / width, (row + sigmoid(y)) / height
                w, h = math.exp(w) * wide / 2, math.exp(h) * high / 2
                yield (cx - w, cy - h, cx + w, cy + h), sigmoid(thing), classes


def best_first(found, threshold):
    kept = []
    for one in sorted(found, key=lambda row: -row[1]):
        if all(overlap(one[2:], other[2:]) < threshold for other in kept):
            kept.append(one)
    return kept


def rows_of_version_2(maps):
    found = []
    for values in maps:
        anchors = np.array([[1, 2], [0.5, 0.7]]) / values.shape[:0:-1]
        for box, thing, classes in boxes_of(values, anchors):
            powers = np.exp(classes)
            score = powers.max() / powers.sum() * thing
            if score >= 0.2:
                found.append((1 + int(np.argmax(classes)), score, *box))
    return best_first(found, 0.45)


def rows_of_version_3(maps):
    found, anchors = [], np.array([[10, 20], [30, 15], [8, 4]])
    for values, mask, scale in zip(maps, ([2, 1], [0, 1]), (16, 8)):
        for box, thing, classes in boxes_of(values, anchors[mask] / (np.array(values.shape[:0:-1]) * scale)):
            found += [(1 + k, sigmoid(c) * thing, *box) for k, c in enumerate(classes) if sigmoid(c) * thing > 0.2]
    return best_first(found, 0.3)


@pytest.mark.parametrize(
    'kind, text, reference',
    [('YoloDetectionOutput', V2, rows_of_version_2), ('Yolov3DetectionOutput', V3, rows_of_version_3)],
)
def test_boxes_are_those_of_loops_over_anchors_and_cells(kind, text, reference):
    net = make_net(layer(kind, 'a b', 'found', text), {'a': (2, 16, 3, 4), 'b': (2, 16, 6, 8)}, force_backward=False)
    net.forward()
    rows = net.blobs['found'].data[0, 0]
    for image in range(2):
        wanted = np.array(reference([net.blobs[name].data[image] for name in 'ab']))
        np.testing.assert_allclose(rows[rows[:, 0] == image][:, 1:], wanted, rtol=1e-5, atol=1e-6)
        assert len(wanted) > 5


@pytest.mark.parametrize('kind, text', [('YoloDetectionOutput', V2), ('Yolov3DetectionOutput', V3)])
def test_where_nothing_is_found_each_image_has_an_empty_row(kind, text):
    net = make_net(layer(kind, 'a b', 'found', text), {'a': (2, 16, 3, 4), 'b': (2, 16, 3, 4)}, force_backward=False)
    for name in 'ab':
        net.blobs[name].data[...] = -9
    net.forward()
    np.testing.assert_array_equal(net.blobs['found'].data[0, 0], [[i, *[-1] * 6] for i in range(2)])
