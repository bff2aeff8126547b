"""SegmentationEvaluate counts overlaps of the first picture, resized where the sizes differ."""

import numpy as np
import pytest

from caffe.errors import CaffeError
from layer_case import layer, make_net

EVALUATE = layer('SegmentationEvaluate', extra='segmentation_evaluate_param { num_classes: 2 }', bottoms='x t')


def measured(maps, true, text=EVALUATE):
    net = make_net(text, {'x': np.shape(maps), 't': np.shape(true)}, force_backward=False)
    net.blobs['x'].data[...], net.blobs['t'].data[...] = maps, true
    return net.forward()['y']


def test_each_class_has_its_intersection_over_union():
    maps, true = np.zeros((2, 2, 2, 4)), np.zeros((2, 2, 2, 4))
    maps[0, 0, 0], true[0, 0, 0, 1:], true[0, 0, 1, 0] = 0.9, 1, 1
    maps[0, 1] = 0.4
    maps[1] = true[1] = 1  # the second picture is not measured
    np.testing.assert_allclose(measured(maps, true), [[[[3 / 5, 0]]]], rtol=1e-6)


def test_maps_are_resized_to_the_true_ones():
    maps, true = np.zeros((1, 2, 2, 2)), np.zeros((1, 2, 4, 4))
    maps[0, 0, :, 0] = 1
    true[0, 0, :2, :2] = 1
    found = measured(maps, true)
    assert found.shape == (1, 1, 1, 2) and 0.3 < found[0, 0, 0, 0] <= 0.5 and found[0, 0, 0, 1] == 0


@pytest.mark.parametrize(
    'true, text, message',
    [
        ((1, 3, 2, 2), EVALUATE, 'expected the same pictures and num_classes 2 channels'),
        ((1, 2, 2, 2), EVALUATE.replace('num_classes: 2', ''), 'num_classes is missing'),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(true, text, message):
    with pytest.raises(CaffeError, match=message):
        measured(np.zeros((1, 2, 2, 2)), np.zeros(true), text)
