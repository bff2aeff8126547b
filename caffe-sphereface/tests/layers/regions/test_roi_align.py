"""MS-CNN's ROIAlign against plain loops and numeric gradients."""

import numpy as np
import pytest

import caffe
from gradcheck import check_gradient
from layer_case import layer, make_net

SHAPES = {'x': (2, 3, 6, 7), 'rois': (5, 5)}
REGIONS = [
    [0, 3, 2, 20, 17],
    [1, -9, -5, 8, 12],  # reaches beyond the map
    [0, 10, 10, 30, 40],
    [1, 6, 6, 6, 14],  # without a width
    [1, 0, 0, 27, 23],
]


def value(plane, y, x):
    """Between the pixels of a plane; 0 beyond it by more than half a pixel."""
    height, width = plane.shape
    if not (-0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    below, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = plane[top, left] * (left + 1 - x) + plane[top, right] * (x - left)
    lower = plane[below, left] * (left + 1 - x) + plane[below, right] * (x - left)
    return upper * (top + 1 - y) + lower * (y - top)


@pytest.mark.parametrize('pad', [0, 0.25])
def test_values_are_those_of_plain_loops(pad):
    fields = f'pooled_h: 2 pooled_w: 3 spatial_scale: 0.25 pad_ratio: {pad}'
    net = make_net(layer('ROIAlign', 'x rois', extra=f'roi_pooling_param {{ {fields} }}'), SHAPES, force_backward=False)
    net.blobs['rois'].data[...] = REGIONS
    wanted = np.zeros((5, 3, 3, 4))
    for r, (image, x1, y1, x2, y2) in enumerate(REGIONS):
        across, along = (x2 - x1 + 1) * pad, (y2 - y1 + 1) * pad
        left, right = (x1 - across) / 4 - 0.5, (x2 + across) / 4 - 0.5
        upper, lower = (y1 - along) / 4 - 0.5, (y2 + along) / 4 - 0.5
        if right <= left or lower <= upper:
            continue
        for c, i, j in np.ndindex(3, 3, 4):
            plane = net.blobs['x'].data[image, c]
            wanted[r, c, i, j] = value(plane, upper + (lower - upper) * i / 2, left + (right - left) * j / 3)
    assert np.count_nonzero(wanted[:, 0]) > 20
    np.testing.assert_allclose(net.forward()['y'], wanted, rtol=1e-4, atol=1e-5)


def test_backward_is_the_derivative():
    extra = (
        'propagate_down: true propagate_down: false '
        'roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.25 pad_ratio: 0.1 }'
    )
    check_gradient(layer('ROIAlign', 'x rois', extra=extra), SHAPES, values={'rois': REGIONS}, skip=('rois',))


def test_wrong_parameters_and_regions_are_refused():
    for text, shapes, message in (
        ('pooled_h: 2', SHAPES, 'expected at least 1 each'),
        ('pooled_h: 2 pooled_w: 2', SHAPES | {'rois': (5, 4)}, 'expected .regions, 5.'),
    ):
        with pytest.raises(caffe.CaffeError, match=message):
            make_net(layer('ROIAlign', 'x rois', extra=f'roi_pooling_param {{ {text} }}'), shapes)
    text = layer('ROIAlign', 'x rois', extra='roi_pooling_param { pooled_h: 2 pooled_w: 2 }')
    net = make_net(text, SHAPES, force_backward=False)
    net.blobs['rois'].data[...] = 2
    with pytest.raises(caffe.CaffeError, match='regions of images 2 to 2, expected 0 to 1'):
        net.forward()
    other = text.replace('roi_pooling_param', 'roi_align_param')
    with pytest.raises(caffe.CaffeError, match='roi_align_param: not implemented; forks that have it: '):
        caffe.Net(caffe.proto.files.parse_text(other, caffe.proto.caffe_pb2.NetParameter(), 'n'), caffe.TEST)
