"""What YOLO detectors learn from, against the same equations cell by cell and against numeric derivatives."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

import caffe
from caffe.errors import CaffeError
from caffe.layers.detection import region_loss
from caffe.layers.detection.yolo_overlap import general_overlap, overlap, overlap_slopes
from gpu_mode import assert_same, on_both
from layer_case import layer, make_net

random = np.random.default_rng(8)
CLASSES, HEIGHT, WIDTH = 3, 4, 5
BIASES = [10, 14, 23, 27, 37, 58, 20, 8]
MASK = [3, 1]
PIXELS = 8  # of a cell
# of two pictures, the second without objects but for one, and rows of zeros; two objects share an anchor and a cell
OBJECTS = np.zeros((2, 1, 6, 5))
OBJECTS[0, 0, :4] = [
    [1, 0.31, 0.40, 0.60, 0.75],
    [0, 0.67, 0.82, 0.55, 0.28],
    [2, 0.30, 0.41, 0.55, 0.80],
    [1, 0.95, 0.05, 0.10, 0.10],
]
OBJECTS[1, 0, 0] = [2, 0.11, 0.72, 0.40, 0.20]
PARAM = dict(object_scale=5, noobject_scale=0.7, class_scale=1.5, coord_scale=2, thresh=0.3)


def text(values):
    return ' '.join(f'{key}: {value}' for key, value in values.items())


def run(kind, options, x, objects=OBJECTS, passes=1):
    """(loss, gradient) of a layer for maps x, after so many passes."""
    field = {'RegionLoss': 'region_loss_param', 'Yolov3': 'yolov3_param'}[kind]
    net = make_net(layer(kind, 'x label', 'loss', f'{field} {{ {options} }}'), {'x': x.shape, 'label': objects.shape})
    net.blobs['x'].data[...], net.blobs['label'].data[...] = x, objects
    for _ in range(passes):
        net.forward()
    net.layers[-1].backward([net.blobs['loss']], [True, False], [net.blobs['x'], net.blobs['label']])
    return float(net.blobs['loss'].data), net.blobs['x'].diff.copy()


def ends(box):
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def iou(a, b):
    (left, top, right, below), (other_left, other_top, other_right, other_below) = ends(a), ends(b)
    width, height = min(right, other_right) - max(left, other_left), min(below, other_below) - max(top, other_top)
    common = width * height if width > 0 and height > 0 else 0
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def giou(a, b):
    (left, top, right, below), (other_left, other_top, other_right, other_below) = ends(a), ends(b)
    around = (max(right, other_right) - min(left, other_left)) * (max(below, other_below) - min(top, other_top))
    shared = iou(a, b)
    union = (a[2] * a[3] + b[2] * b[3]) / (1 + shared)
    return shared - (around - union) / around


def stated(objects, picture):
    for row in objects[picture, 0]:
        if row[3] == 0:
            return
        yield int(row[0]), row[1:]


def box_of(cell, row, column, anchor):
    """The box that the first values of a cell mean, w and h times an anchor in parts of the picture."""
    x, y, w, h = cell[:4]
    return (
        (column + expit(x)) / WIDTH,
        (row + expit(y)) / HEIGHT,
        math.exp(w) * anchor[0],
        math.exp(h) * anchor[1],
    )


def like(size, anchor):
    return iou((0, 0, *size), (0, 0, *anchor))


def wanted(box, row, column, anchor):
    return [box[0] * WIDTH - column, box[1] * HEIGHT - row, math.log(box[2] / anchor[0]), math.log(box[3] / anchor[1])]


def version_3(x, objects, sizes, mask, focal=False, object_weight=1):
    """The differences of Yolov3 with its squared boxes, and whether each cell and anchor learns an object."""
    d = np.zeros((len(x), len(mask), 5 + CLASSES, HEIGHT, WIDTH))
    values = x.reshape(d.shape)
    taken = {}
    for place in np.ndindex(len(x), len(mask), HEIGHT, WIDTH):
        picture, n, row, column = place
        cell = values[picture, n, :, row, column]
        predicted = box_of(cell, row, column, sizes[mask[n]])
        best = max((iou(predicted, box) for _, box in stated(objects, picture)), default=0)
        d[picture, n, 4, row, column] = 0 if best > PARAM['thresh'] else expit(cell[4])
    for picture in range(len(x)):
        for label, box in stated(objects, picture):
            shapes = [like(box[2:], size) for size in sizes]
            chosen = shapes.index(max(shapes))
            if chosen not in mask:
                continue
            n, row, column = mask.index(chosen), int(box[1] * HEIGHT), int(box[0] * WIDTH)
            cell, out = values[picture, n, :, row, column], d[picture, n, :, row, column]
            scale = PARAM['coord_scale'] * (2 - box[2] * box[3])
            said = [expit(cell[0]), expit(cell[1]), cell[2], cell[3]]
            out[:4] = [scale * (a - b) for a, b in zip(said, wanted(box, row, column, sizes[chosen]))]
            out[4] = object_weight * (expit(cell[4]) - 1)
            p = expit(cell[5:])
            if (picture, n, row, column) in taken:
                out[5 + label] = p[label] - 1
            else:
                weight = -(1 - p[label]) * (2 * p[label] * math.log(p[label]) + p[label] - 1) / 2 if focal else 1
                out[5:] = PARAM['class_scale'] * weight * (p - np.eye(CLASSES)[label])
            taken.setdefault((picture, n, row, column), []).append(box)
    return d, taken


YOLO3 = (
    f'num: 2 num_class: {CLASSES} anchors_scale: {PIXELS} {text(PARAM)} '
    + ' '.join(f'biases: {bias}' for bias in BIASES)
    + ' '
    + ' '.join(f'mask: {index}' for index in MASK)
    + ' '
)
SIZES = np.array(BIASES).reshape(-1, 2) / (PIXELS * np.array([WIDTH, HEIGHT]))
MAPS = random.normal(0, 1, (2, len(MASK) * (5 + CLASSES), HEIGHT, WIDTH))


def test_the_objects_of_these_tests_meet_all_cases():
    _, taken = version_3(MAPS, OBJECTS, SIZES, MASK)
    assert sorted(map(len, taken.values())) == [1, 1, 2], 'one of five objects is of an anchor that others have'


@pytest.mark.parametrize('focal', [False, True])
def test_yolov3_learns_what_the_equations_say_cell_by_cell(focal):
    d, _ = version_3(MAPS, OBJECTS, SIZES, MASK, focal)
    loss, grad = run('Yolov3', YOLO3 + f'use_focal_loss: {str(focal).lower()}', MAPS)
    assert loss == pytest.approx((d**2).sum() / 2, rel=1e-5)
    np.testing.assert_allclose(grad, d.reshape(MAPS.shape) / 2, rtol=1e-4, atol=1e-6)


def test_yolov3_with_the_slope_of_the_sigmoid():
    d, _ = version_3(MAPS, OBJECTS, SIZES, MASK, object_weight=PARAM['object_scale'])
    p = expit(MAPS.reshape(d.shape))
    slope = p * (1 - p)
    slope[:, :, 2:4] = 1
    loss, grad = run('Yolov3', YOLO3 + 'use_logic_gradient: true', MAPS)
    assert loss == pytest.approx((d**2).sum() / 2, rel=1e-5)
    np.testing.assert_allclose(grad, (d * slope).reshape(MAPS.shape) / 2, rtol=1e-4, atol=1e-6)


def numeric_slope(function, values, index, step=1e-6):
    moved = [np.array(values, float), np.array(values, float)]
    moved[0][index] += step
    moved[1][index] -= step
    return (function(moved[0]) - function(moved[1])) / (2 * step)


@pytest.mark.parametrize('kind', ['IOU', 'GIOU'])
def test_yolov3_learns_boxes_by_the_slopes_of_their_overlap(kind):
    x = MAPS.copy()
    # the first anchor says nearly where its object is, so that the two overlap
    x.reshape(2, 2, -1, HEIGHT, WIDTH)[:, :, 2:4] *= 0.3
    d, taken = version_3(x, OBJECTS, SIZES, MASK)
    loss, grad = run('Yolov3', YOLO3 + f'iou_loss: {kind} iou_normalizer: 0.5', x)
    missed = 0
    for (picture, n, row, column), boxes in taken.items():
        cell = x.reshape(d.shape)[picture, n, :, row, column]
        own, true = box_of(cell, row, column, SIZES[MASK[n]]), boxes[-1]
        missed += 0.5 * sum(1 - giou(own, box) for box in boxes)
        assert iou(own, true) > 0

        def of_ends(low_high, true=true):
            low, high = np.array(low_high[:2]), np.array(low_high[2:])
            return (iou if kind == 'IOU' else giou)((*(low + high) / 2, *(high - low)), true)

        left, top, right, below = (numeric_slope(of_ends, ends(own), index) for index in range(4))
        sizes = np.exp(cell[2:4])
        d[picture, n, :4, row, column] = -0.5 * np.array(
            [left + right, top + below, (right - left) / 2 * sizes[0], (below - top) / 2 * sizes[1]]
        )
    assert loss == pytest.approx(((d[:, :, 4:] ** 2).sum() + missed) / 2, rel=1e-5)
    np.testing.assert_allclose(grad, d.reshape(x.shape) / 2, rtol=1e-3, atol=1e-5)


def test_the_slopes_of_x_and_y_are_those_of_the_maps_with_an_iou_loss():
    _, plain = run('Yolov3', YOLO3 + 'iou_loss: GIOU', MAPS)
    _, grad = run('Yolov3', YOLO3 + 'iou_loss: GIOU use_logic_gradient: true', MAPS)
    x = MAPS.reshape(2, 2, -1, HEIGHT, WIDTH)
    slope = expit(x) * (1 - expit(x))
    slope[:, :, 2:4] = 1
    slope[:, :, :2] = x[:, :, :2] * (1 - x[:, :, :2])
    _, taken = version_3(MAPS, OBJECTS, SIZES, MASK)
    for picture, n, row, column in taken:
        slope[picture, n, 4, row, column] *= PARAM['object_scale']
    np.testing.assert_allclose(grad, plain * slope.reshape(MAPS.shape), rtol=1e-4, atol=1e-6)


def test_boxes_far_apart_have_no_slope_of_their_overlap():
    boxes = torch.tensor([[0.1, 0.1, 0.02, 0.02]], dtype=torch.float64)
    true = torch.tensor([[0.9, 0.9, 0.02, 0.02]], dtype=torch.float64)
    assert overlap(boxes, true) == 0 and general_overlap(boxes, true) == pytest.approx(-1, abs=0.01)
    low, high = overlap_slopes(boxes, true, general=False)
    assert not low.any() and not high.any()
    assert any(slope.any() for slope in overlap_slopes(boxes, true, general=True))


def cross_entropy(t, x):
    return np.logaddexp(0, x) - t * x


def test_the_gradient_of_yolov3_is_that_of_cross_entropies():
    """σ(x) − t is the derivative of a cross-entropy, which the printed squares are not."""
    d, taken = version_3(MAPS, OBJECTS, SIZES, MASK)
    _, grad = run('Yolov3', YOLO3, MAPS)
    (picture, n, row, column), boxes = next(one for one in taken.items() if len(one[1]) == 1)
    x = MAPS.reshape(d.shape)[picture, n, :, row, column]
    scale = PARAM['coord_scale'] * (2 - boxes[0][2] * boxes[0][3])
    target = wanted(boxes[0], row, column, SIZES[MASK[n]])
    label = next(label for label, box in stated(OBJECTS, picture) if (box == boxes[0]).all())

    def objective(values):
        value = scale * sum(cross_entropy(target[i], values[i]) for i in range(2))
        value += scale * sum((target[i] - values[i]) ** 2 / 2 for i in (2, 3))
        value += cross_entropy(1, values[4])
        return value + PARAM['class_scale'] * cross_entropy(np.eye(CLASSES)[label], values[5:]).sum()

    numeric = [numeric_slope(objective, x, index) / 2 for index in range(len(x))]
    np.testing.assert_allclose(grad.reshape(d.shape)[picture, n, :, row, column], numeric, rtol=1e-4)


CELLS = np.array([1.3, 0.9, 0.7, 2.1])
REGION = f'num: 2 num_class: {CLASSES} {text(PARAM)} ' + ' '.join(f'biases: {bias}' for bias in CELLS) + ' '


def version_2(x, objects, start, rescore=True, bias_match=True):
    """The differences of RegionLoss."""
    sizes = CELLS.reshape(-1, 2) / [WIDTH, HEIGHT]
    d = np.zeros((len(x), 2, 5 + CLASSES, HEIGHT, WIDTH))
    values = x.reshape(d.shape)
    for picture, n, row, column in np.ndindex(len(x), 2, HEIGHT, WIDTH):
        cell, out = values[picture, n, :, row, column], d[picture, n, :, row, column]
        predicted = box_of(cell, row, column, sizes[n])
        best = max((iou(predicted, box) for _, box in stated(objects, picture)), default=0)
        there = expit(cell[4])
        out[4] = 0 if best > PARAM['thresh'] else PARAM['noobject_scale'] * there * there * (1 - there)
        if start:
            at = expit(cell[:2])
            out[:4] = 0.01 * np.concatenate([(at - 0.5) * at * (1 - at), cell[2:4]])
    for picture in range(len(x)):
        for label, box in stated(objects, picture):
            row, column = int(box[1] * HEIGHT), int(box[0] * WIDTH)
            shapes = [
                like(box[2:], size if bias_match else box_of(values[picture, n, :, row, column], row, column, size)[2:])
                for n, size in enumerate(sizes)
            ]
            n = shapes.index(max(shapes))
            cell, out = values[picture, n, :, row, column], d[picture, n, :, row, column]
            reached = iou(box_of(cell, row, column, sizes[n]), box) if rescore else 1
            scale = PARAM['coord_scale'] * (1 if rescore else 2 - box[2] * box[3])
            target, at, there = wanted(box, row, column, sizes[n]), expit(cell[:2]), expit(cell[4])
            out[:2] = scale * (at - target[:2]) * at * (1 - at)
            out[2:4] = scale * (cell[2:4] - target[2:])
            out[4] = PARAM['object_scale'] * (there - reached) * there * (1 - there)
            out[5:] = PARAM['class_scale'] * (softmax(cell[5:]) - np.eye(CLASSES)[label])
    return d


@pytest.mark.parametrize('bias_match', [True, False])
@pytest.mark.parametrize('rescore', [True, False])
@pytest.mark.parametrize('starts', [True, False])
def test_region_loss_learns_what_the_equations_say_cell_by_cell(starts, rescore, bias_match, monkeypatch):
    monkeypatch.setattr(region_loss, 'PICTURES_OF_START', 6)
    d = version_2(MAPS, OBJECTS, starts, rescore, bias_match)
    options = f'{REGION} rescore: {rescore:d} bias_match: {bias_match:d}'
    loss, grad = run('RegionLoss', options, MAPS, passes=3 if starts else 4)
    assert loss == pytest.approx((d**2).sum() / 2, rel=1e-5)
    np.testing.assert_allclose(grad, d.reshape(MAPS.shape) / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    'kind, options',
    [
        ('Yolov3', YOLO3 + 'use_focal_loss: true use_logic_gradient: true'),
        ('Yolov3', YOLO3 + 'iou_loss: GIOU'),
        ('RegionLoss', REGION + 'bias_match: 0'),
    ],
)
def test_a_gpu_learns_the_same(kind, options):
    def outcome():
        loss, grad = run(kind, options, MAPS)
        return {'loss': np.array(loss), 'grad': grad}

    assert_same(*on_both(outcome))


@pytest.mark.parametrize('kind', ['RegionLoss', 'Yolov3'])
def test_pictures_without_objects_teach_that_there_are_none(kind):
    options = {'RegionLoss': REGION, 'Yolov3': YOLO3}[kind]
    loss, grad = run(kind, options, MAPS, np.zeros((2, 1, 300, 5)))
    grad = grad.reshape(2, 2, -1, HEIGHT, WIDTH)
    assert loss > 0 and (grad[:, :, 4] > 0).all() and not grad[:, :, 5:].any()


@pytest.mark.parametrize(
    'kind, options, shape, objects, message',
    [
        (
            'Yolov3',
            YOLO3,
            (2, 15, 4, 5),
            OBJECTS,
            r"bottom 'x' has shape \(2, 15, 4, 5\), expected \(num, 16, height, ",
        ),
        ('RegionLoss', REGION, (2, 17, 4, 5), OBJECTS, 'num 2 anchors with 5 values and num_class 3 classes'),
        ('Yolov3', YOLO3, (2, 16, 4, 5), np.zeros((1, 1, 7, 8)), r'expected \(2, 1, objects, 5\): class, x, y'),
        ('Yolov3', YOLO3, (2, 16, 4, 5), [[[[3, 0.5, 0.5, 0.1, 0.1]]]] * 2, 'has classes from 3 to 3, expected 0 to 2'),
        ('RegionLoss', REGION, (2, 16, 4, 5), [[[[1, 1, 0.5, 0.25, 0.5]]]] * 2, r'\(1.0, 0.5, 0.25, 0.5\), expected x'),
        (
            'Yolov3',
            YOLO3 + 'mask: 0',
            (2, 16, 4, 5),
            OBJECTS,
            r'has mask \[3, 1, 0\], expected num 2 of the anchors 0 to',
        ),
        ('Yolov3', YOLO3 + 'biases: 3', (2, 16, 4, 5), OBJECTS, 'has 9 biases, expected a width and a height above 0'),
        (
            'Yolov3',
            YOLO3.replace('scale: 8', 'scale: 0'),
            (2, 16, 4, 5),
            OBJECTS,
            'anchors_scale is 0, expected the pixels',
        ),
        (
            'RegionLoss',
            REGION.replace('num: 2', 'num: 3'),
            (2, 24, 4, 5),
            OBJECTS,
            'has 4 biases, expected 2 above 0 for each of num 3',
        ),
        ('RegionLoss', REGION + 'coords: 5', (2, 16, 4, 5), OBJECTS, 'coords is 5, expected 4'),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(kind, options, shape, objects, message):
    with pytest.raises(CaffeError, match=message) as caught:
        run(kind, options, np.zeros(shape), np.array(objects))
    assert "layer 'layer'" in str(caught.value) and '\n' not in str(caught.value)


def seg(shapes, values, options='object_scale: 0.5'):
    text = layer('YoloSeg', ' '.join(shapes), 'loss', f'yolo_seg_param {{ {options} }}')
    net = make_net(text, shapes, phase=caffe.TRAIN)
    for name, array in values.items():
        net.blobs[name].data[...] = array
    net.forward()
    bottoms = [net.blobs[name] for name in shapes]
    net.layers[-1].backward([net.blobs['loss']], [True] + [False] * (len(bottoms) - 1), bottoms)
    return float(net.blobs['loss'].data), net.blobs['x'].diff.copy()


@pytest.mark.parametrize('weighted', [False, True])
def test_yolo_seg_learns_each_class_of_a_pixel_by_itself(weighted):
    x, target = random.normal(0, 1, (2, 3, 4, 5)), (random.random((2, 3, 4, 5)) < 0.3).astype(float)
    counts = target.sum((2, 3))
    values = {'x': x, 't': target} | ({'counts': counts} if weighted else {})
    loss, grad = seg({name: np.shape(array) for name, array in values.items()}, values)
    d = 0.5 * (expit(x) - target)
    if weighted:
        rarity = 2 - counts.sum(0) / (2 * 20 - counts.sum(0))
        d = np.where(target > 0.5, d * rarity[:, None, None], d)
    assert loss == pytest.approx((d**2).sum() / 2, rel=1e-5)
    np.testing.assert_allclose(grad, d / 2, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    'shapes, message',
    [
        ({'x': (2, 3, 4, 5), 't': (2, 3, 4, 4)}, r'expected \(2, 3, 4, 5\), as the predictions'),
        ({'x': (2, 3, 4, 5), 't': (2, 3, 4, 5), 'counts': (2, 4)}, r'expected \(2, 3\): pixels by class'),
    ],
)
def test_yolo_seg_refuses_other_shapes(shapes, message):
    with pytest.raises(CaffeError, match=message):
        seg(shapes, {})
