"""PSROIPooling against a reading of the paper cell by cell."""

import math

import numpy as np
import pytest

import caffe
from gradcheck import check_gradient
from layer_case import layer, make_net

LAYER = layer('PSROIPooling', 'x rois', 'y', 'psroi_pooling_param { spatial_scale: 0.25 output_dim: 2 group_size: 3 }')
SHAPES = {'x': (2, 18, 8, 7), 'rois': (5, 5)}
ROIS = np.array(
    [[0, 0, 0, 27, 31], [1, 2.5, 3.5, 14.4, 25], [1, 20, 4, 12, 10], [0, -9, -9, 60, 60], [1, 40, 40, 50, 50]], 'f4'
)


def away(value):
    """Rounded, halves away from zero."""
    return math.copysign(math.floor(abs(value) + 0.5), value)


def reference(x, rois, scale, channels, group):
    out = np.zeros((len(rois), channels, group, group))
    for r, (image, x1, y1, x2, y2) in enumerate(rois):
        left, top = away(x1) * scale, away(y1) * scale
        width = max((away(x2) + 1) * scale - left, 0.1) / group
        height = max((away(y2) + 1) * scale - top, 0.1) / group
        for i, j in np.ndindex(group, group):
            rows = slice(
                *(min(max(v, 0), x.shape[2]) for v in (math.floor(top + i * height), math.ceil(top + (i + 1) * height)))
            )
            columns = slice(
                *(min(max(v, 0), x.shape[3]) for v in (math.floor(left + j * width), math.ceil(left + (j + 1) * width)))
            )
            for c in range(channels):
                cells = x[int(image), (c * group + i) * group + j, rows, columns]
                out[r, c, i, j] = cells.mean() if cells.size else 0
    return out


def test_parts_are_means_of_channels_of_their_own():
    net = make_net(LAYER, SHAPES, force_backward=False)
    net.blobs['rois'].data[...] = ROIS
    net.forward()
    expected = reference(net.blobs['x'].data.astype('d'), ROIS, 0.25, 2, 3)
    np.testing.assert_allclose(net.blobs['y'].data, expected, atol=1e-6)
    assert (expected[4] == 0).all() and (expected[0] != 0).all()


def test_gradients_go_to_the_cells_of_the_means():
    check_gradient(
        LAYER.replace('name: "layer"', 'name: "layer" propagate_down: true propagate_down: false'),
        SHAPES,
        values={'rois': ROIS},
        skip=('rois',),
    )


def test_regions_of_no_image_and_other_channels_are_refused():
    net = make_net(LAYER, SHAPES, force_backward=False)
    net.blobs['rois'].data[...] = ROIS + [2, 0, 0, 0, 0]
    with pytest.raises(caffe.CaffeError, match=r"layer 'layer' \(PSROIPooling\): regions are of images 2 to 3"):
        net.forward()
    with pytest.raises(caffe.CaffeError, match='expected 4 axes and 18 channels'):
        make_net(LAYER, {**SHAPES, 'x': (2, 17, 8, 7)})
