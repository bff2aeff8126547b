"""Labels of the cells of maps, against plain loops over cells and boxes."""

import numpy as np

from caffe.data.scenes.cell_labels import CellMap, Truth, cell_labels

FRAME = 32, 48
MAPS = [CellMap(8, 12, 14), CellMap(16, 30, 24)]
WHOLE = slice(0, 32), slice(0, 48)


def common(a, b):
    sides = [max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), 0) for i in range(2)]
    return sides[0] * sides[1]


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def plain(truth, inside=WHOLE, threshold=0.5):
    labels, best, given = [], {}, set()
    for n, one in enumerate(MAPS):
        rows, columns = FRAME[0] // one.rate, FRAME[1] // one.rate
        values = np.zeros((6, rows, columns))
        spans = [(round(part.start / one.rate), round(part.stop / one.rate)) for part in inside]
        for r, c in np.ndindex(rows, columns):
            x, y = (c + 0.5) * one.rate, (r + 0.5) * one.rate
            field = x - one.width / 2, y - one.height / 2, x + one.width / 2, y + one.height / 2
            seen = spans[0][0] <= r < spans[0][1] and spans[1][0] <= c < spans[1][1]
            if not seen or sum(common(field, region) for region in truth.regions) / area(field) >= 0.4:
                values[5, r, c] = 1
                continue
            for g, box in enumerate(truth.boxes):
                overlap = common(field, box) / (area(field) + area(box) - common(field, box))
                if overlap > best.get(g, (0,))[0]:
                    best[g] = overlap, n
                if overlap > values[5, r, c]:
                    values[5, r, c] = overlap
                    match = g
            if values[5, r, c] > threshold:
                x1, y1, x2, y2 = truth.boxes[match]
                label = 0 if truth.ignored[match] else truth.classes[match]
                values[:5, r, c] = label, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
                given.add(match)
        labels.append(values)
    for g, (x1, y1, x2, y2) in enumerate(truth.boxes):
        overlap, n = best.get(g, (0, 0))
        if truth.ignored[g] or g in given or overlap < 0.2:
            continue
        r, c = (int(middle // MAPS[n].rate) for middle in ((y1 + y2) / 2, (x1 + x2) / 2))
        r, c = min(r, labels[n].shape[1] - 1), min(c, labels[n].shape[2] - 1)
        if labels[n][0, r, c] == 0:
            labels[n][:5, r, c] = truth.classes[g], (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    return labels


def truth_of(seed, boxes=6, regions=0):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, [40, 25, 1, 1], (boxes, 4))
    corners[:, 2:] = corners[:, :2] + random.uniform(6, 30, (boxes, 2))
    others = random.uniform(0, [30, 20, 1, 1], (regions, 4))
    others[:, 2:] = others[:, :2] + random.uniform(5, 15, (regions, 2))
    return Truth(corners.astype('f'), random.integers(1, 4, boxes), random.random(boxes) < 0.3, others.astype('f'))


def test_labels_are_those_of_plain_loops():
    counts = np.zeros(3, int)
    for seed in range(12):
        truth = truth_of(seed, regions=seed % 3)
        inside = WHOLE if seed % 2 else (slice(0, 24), slice(16, 48))
        for found, wanted in zip(cell_labels(MAPS, truth, FRAME, inside, 0.3), plain(truth, inside, 0.3)):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
            given = (found[0] > 0) & (found[5] <= 0.3)
            counts += (found[0] > 0).sum(), given.sum(), ((found[0] == 0) & (found[3] > 0)).sum()
    assert counts.min() > 1  # cells of objects, cells given to boxes that none was near, cells of ignored boxes


def test_nothing_is_labelled_without_boxes():
    for values in cell_labels(MAPS, truth_of(0, boxes=0), FRAME, WHOLE, 0.5):
        assert not values.any()
