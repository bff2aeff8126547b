"""MS-CNN's DetectionLoss against plain loops over cells, and its gradient against numeric ones."""

import math

import numpy as np
import pytest
import torch

import caffe
from caffe.layers.regions.detection_loss import DetectionLoss
from gradcheck import check_gradient
from layer_case import layer, make_net

SHAPES = {'x': (2, 7, 4, 5), 'labels': (2, 6, 4, 5)}
FIELD = {'cls_num': 3, 'field_w': 20, 'field_h': 30, 'downsample_rate': 8, 'bg_threshold': 0.4, 'bg_multiple': 2}
STOP = 'propagate_down: true propagate_down: false '
REG = 'bbox_reg_param { bbox_mean: [0, 0.1, 0, 0] bbox_std: [0.1, 0.2, 0.2, 0.3] }'
DRAWN = [3, 3, 0, 12, 7, 19, 5, 16]


def text(more, extra='', kind='DetectionLoss', param='detection_loss_param'):
    field = ' '.join(f'{name}: {value}' for name, value in FIELD.items() if f'{name}:' not in more)
    return layer(kind, 'x labels', 'y', f'{STOP} {param} {{ {field} {more} }} {extra}')


def labels(seed=0, most=2):
    """Some cells of two classes with boxes near their fields; the background with overlaps below and above 0.4."""
    random = np.random.default_rng(seed)
    values = np.zeros(SHAPES['labels'])
    values[:, 0] = random.choice(most + 1, (2, 4, 5), p=[0.7, *[0.3 / most] * most])
    rows, columns = np.indices((4, 5))
    values[:, 1] = (columns + 0.5) * 8 + random.normal(0, 4, (2, 4, 5))
    values[:, 2] = (rows + 0.5) * 8 + random.normal(0, 4, (2, 4, 5))
    values[:, 3:5] = random.uniform(1, 50, (2, 2, 4, 5))
    values[:, 5] = random.uniform(0, 0.8, (2, 4, 5))
    return values


def sampled(scores, truth, mode, objectness):
    """The cells {(image, row, column)} of the background that are learned from, drawn ones being DRAWN."""
    found = set()
    for image in range(2):
        free = [(r, c) for r in range(4) for c in range(5) if truth[image, 0, r, c] == 0 > truth[image, 5, r, c] - 0.4]
        own = [min(v, 1) if objectness else v for v in truth[image, 0].ravel()]
        part = 0.5 if mode == 'mixture' else 1
        if mode == 'all':
            found |= {(image, *cell) for cell in free}
        if mode in ('random', 'mixture'):
            draws = max(int(sum(v > 0 for v in own) * 2 * part), 4 * (len(scores[0]) - 1))
            cells = {divmod(cell, 5) for cell in DRAWN[:draws]}
            found |= {(image, *cell) for cell in free if cell in cells}
        if mode in ('bootstrap', 'mixture'):
            for k in range(1, len(scores[0])):
                count = max(int(own.count(k) * 2 * part), 4)
                order = sorted(free, key=lambda cell: (scores[image, k][cell], cell), reverse=True)
                found |= {(image, *cell) for cell in order[:count]}
    return found


def expected(x, truth, mode='all', weighted=False, by_overlap=False, smooth=True, scale=1.0, ignored=None, **more):
    """(C, λ · B, derivatives of C, derivatives of λ · B, where t is not limited)."""
    mean, std = more.get('mean', (0,) * 4), more.get('std', (1,) * 4)
    classes = x.shape[1] - 4
    background = sampled(x[:, :classes], truth, mode, more.get('objectness'))
    cells = [(i, r, c) for i in range(2) for r in range(4) for c in range(5)]
    objects = [cell for cell in cells if truth[cell[0], 0, cell[1], cell[2]] > 0]
    weight = {(i, r, c): truth[i, 5, r, c] if by_overlap else 1.0 for i, r, c in objects}
    weight.update(dict.fromkeys(background, 1.0))
    if weighted:
        for kind, part in ((objects, 1 / 3), (background, 2 / 3)):
            total = sum(weight[cell] for cell in kind)
            weight.update({cell: weight[cell] * part * (len(objects) + len(background)) / total for cell in kind})
    of_classes, of_boxes = np.zeros_like(x), np.zeros_like(x)
    free = np.zeros(x.shape, bool)
    class_loss = box_loss = 0.0
    counted = [cell for cell in [*objects, *background] if truth[cell[0], 0, cell[1], cell[2]] != ignored]
    for i, r, c in counted:
        p = np.exp(x[i, :classes, r, c]) / np.exp(x[i, :classes, r, c]).sum()
        label = int(truth[i, 0, r, c])
        label = min(label, 1) if more.get('objectness') else label
        class_loss -= math.log(p[label]) * weight[i, r, c] / len(counted)
        of_classes[i, :classes, r, c] = (p - np.eye(classes)[label]) * weight[i, r, c] / len(counted)
    learned = [cell for cell in objects if truth[cell[0], 0, cell[1], cell[2]] != ignored]
    for i, r, c in learned:
        cx, cy, w, h = truth[i, 1:5, r, c]
        goals = (cx - (c + 0.5) * 8) / 20, (cy - (r + 0.5) * 8) / 30, math.log(max(w, 2) / 20), math.log(max(h, 2) / 30)
        for j, goal in enumerate(goals):
            pair = slice(0, 2) if j < 2 else slice(2, 4)
            limit = 1 / 2 if j < 2 else math.log(2)
            middle, spread = np.mean(mean[pair]), math.sqrt(np.prod(std[pair]))
            code = x[i, classes + j, r, c]
            t = min(max(code, (-limit - middle) / spread), (limit - middle) / spread)
            free[i, classes + j, r, c] = t == code
            d = t - (goal - mean[j]) / std[j]
            far = smooth and abs(d) > 1
            box_loss += scale * (abs(d) - 0.5 if far else d * d / 2) / (4 * len(learned))
            of_boxes[i, classes + j, r, c] = scale * (math.copysign(1, d) if far else d) / (4 * len(learned))
    return class_loss, box_loss, of_classes, of_boxes, free


@pytest.fixture(autouse=True)
def _drawn_cells_are_known(monkeypatch):
    monkeypatch.setattr(DetectionLoss, '_drawn', lambda self, cells, count: torch.tensor(DRAWN[:count]))


CASES = {
    'all': ('sample_mode: "all"', '', {}),
    'random': ('', '', {'mode': 'random'}),
    'bootstrap': ('sample_mode: "bootstrap" lambda: 0.5', '', {'mode': 'bootstrap', 'scale': 0.5}),
    'mixture': ('sample_mode: "mixture" bb_smooth: false', '', {'mode': 'mixture', 'smooth': False}),
    'weighted': (
        'sample_mode: "bootstrap" pos_neg_weighted: true iou_weighted: true',
        REG,
        {
            'mode': 'bootstrap',
            'weighted': True,
            'by_overlap': True,
            'mean': (0, 0.1, 0, 0),
            'std': (0.1, 0.2, 0.2, 0.3),
        },
    ),
    'ignored': ('sample_mode: "all"', 'loss_param { ignore_label: 2 }', {'ignored': 2}),
}


@pytest.mark.parametrize('case', CASES)
def test_losses_and_gradients_are_those_of_plain_loops(case):
    more, extra, arguments = CASES[case]
    net = make_net(text(more, extra), SHAPES, force_backward=False)
    net.blobs['labels'].data[...] = labels()
    of_classes, of_boxes, dclasses, dboxes, _ = expected(net.blobs['x'].data.astype('d'), labels(), **arguments)
    net.forward()
    np.testing.assert_allclose(net.blobs['y'].data.ravel(), [of_classes + of_boxes, of_boxes], rtol=1e-5)
    net.blobs['y'].diff[...] = [[[[0.9, 5]]]]
    net.layers[-1].backward([net.blobs['y']], [True, False], [net.blobs['x'], net.blobs['labels']])
    np.testing.assert_allclose(net.blobs['x'].diff, 0.9 * (dclasses + dboxes), rtol=1e-4, atol=1e-6)


def test_objectness_makes_all_classes_one():
    shapes = SHAPES | {'x': (2, 6, 4, 5)}
    net = make_net(text('cls_num: 2 objectness: true sample_mode: "bootstrap"'), shapes, force_backward=False)
    net.blobs['labels'].data[...] = labels()
    of_classes, of_boxes, *_ = expected(net.blobs['x'].data.astype('d'), labels(), 'bootstrap', objectness=True)
    np.testing.assert_allclose(net.forward()['y'].ravel(), [of_classes + of_boxes, of_boxes], rtol=1e-5)


def test_the_derivative_of_both_values_is_a_switch():
    for extra in ('', REG):
        check_gradient(
            text('sample_mode: "bootstrap" pos_neg_weighted: true', f'true_gradient: true {extra}'),
            SHAPES,
            values={'labels': labels()},
            skip=('labels',),
            most=200,
        )


def test_a_map_without_objects_has_weights_for_its_background_alone():
    net = make_net(text('sample_mode: "all" pos_neg_weighted: true'), SHAPES, force_backward=False)
    net.blobs['labels'].data[...] = 0
    net.blobs['x'].data[:, :3] = 0
    assert np.allclose(net.forward()['y'].ravel(), [math.log(3) * 2 / 3, 0])


def test_the_first_version_divides_by_images_without_normalize():
    cells = (labels()[:, 0] > 0) | (labels()[:, 5] < 0.4)
    learned = labels()[:, 0] > 0
    first = 'Detection', 'detection_param'
    net = make_net(text('sample_mode: "all"', '', *first), SHAPES, force_backward=False)
    net.blobs['labels'].data[...] = labels()
    whole, boxes = net.forward()['y'].ravel().tolist()
    net = make_net(text('sample_mode: "all"', 'loss_param { normalize: false }', *first), SHAPES, force_backward=False)
    net.blobs['labels'].data[...] = labels()
    (again, other) = net.forward()['y'].ravel().tolist()
    np.testing.assert_allclose(other, boxes * learned.sum() / 2, rtol=1e-5)
    np.testing.assert_allclose(again - other, (whole - boxes) * cells.sum() / 2, rtol=1e-5)


@pytest.mark.parametrize(
    'more, message',
    [
        ('cls_num: 1', 'cls_num is 1'),
        ('objectness: true', 'cls_num is 3, expected 2 with objectness'),
        ('coord_num: 5', 'coord_num is 5, expected 4'),
        ('sample_mode: "some"', "sample_mode is 'some', expected one of random"),
        ('field_w: 0', 'field_w is 0'),
        ('field_whr: 0', 'field_whr is 0'),
    ],
)
def test_wrong_parameters_are_refused(more, message):
    with pytest.raises(caffe.CaffeError, match=message):
        make_net(text(more), SHAPES)


def test_wrong_bottoms_are_refused():
    with pytest.raises(caffe.CaffeError, match="bottom 'labels' has shape"):
        make_net(text(''), SHAPES | {'labels': (2, 5, 4, 5)})
    net = make_net(text(''), SHAPES)
    net.blobs['labels'].data[...] = labels(most=4)
    with pytest.raises(caffe.CaffeError, match='has labels from 0 to [34], expected 0 to 2'):
        net.forward()
