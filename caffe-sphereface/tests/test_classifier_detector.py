"""Classifier and Detector: what reaches the net and what comes back."""

import cv2
import numpy as np
import pytest

import caffe
from caffe import layers as L

MEAN = np.array([0.1, 0.2, 0.3])


@pytest.fixture
def files(tmp_path):
    """(prototxt, caffemodel) of a net from (3, 8, 8) pictures to the sum of each channel, and of their left half."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[4, 3, 8, 8]))
    n.sums = L.Convolution(n.data, kernel_size=8, num_output=6, bias_term=False)
    model, weights = str(tmp_path / 'net.prototxt'), str(tmp_path / 'net.caffemodel')
    (tmp_path / 'net.prototxt').write_text(str(n.to_proto()))
    net = caffe.Net(model, caffe.TEST)
    filters = net.params['sums'][0].data
    for channel in range(3):
        filters[channel, channel] = 1
        filters[3 + channel, channel, :, :4] = 1
    net.save(weights)
    return model, weights


def test_predict_of_the_centre(files):
    images = np.random.default_rng(0).random((6, 12, 10, 3)).astype('f')
    net = caffe.Classifier(*files, image_dims=(12, 10), mean=MEAN, raw_scale=2, input_scale=3, channel_swap=(2, 1, 0))
    crops = images[:, 2:10, 1:9, ::-1]
    want = (3 * (2 * crops - MEAN)).sum((1, 2))
    scores = net.predict(images, oversample=False)
    assert scores.shape == (6, 6, 1, 1)
    np.testing.assert_allclose(scores[:, :3, 0, 0], want, rtol=1e-4)


def test_predict_averages_ten_crops(files):
    image = np.random.default_rng(0).random((12, 10, 3)).astype('f')
    crops = caffe.io.oversample([image], (8, 8))
    scores = caffe.Classifier(*files, image_dims=(12, 10)).predict([image])
    want = np.concatenate([crops.sum((1, 2)).mean(0), crops[:, :, :4].sum((1, 2)).mean(0)])
    np.testing.assert_allclose(scores, [want], rtol=1e-4)


def test_predict_resizes_to_the_input_by_default(files):
    scores = caffe.Classifier(*files).predict([np.full((30, 20, 3), 0.5, 'f')], oversample=False)
    np.testing.assert_allclose(scores.reshape(-1)[:3], 32, rtol=1e-5)


@pytest.fixture
def picture(tmp_path):
    array = np.random.default_rng(1).integers(0, 256, (20, 24, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / 'p.png'), array)
    return str(tmp_path / 'p.png'), array[:, :, ::-1] / 255


def test_detect_windows_scores_each_window(files, picture):
    name, pixels = picture
    windows = np.array([[0, 0, 8, 8], [5, 6, 13, 14], [2, 3, 18, 19]])
    found = caffe.Detector(*files, mean=MEAN).detect_windows([(name, windows[:2]), (name, windows[2:])])
    assert [tuple(f['window']) for f in found] == [tuple(w) for w in windows]
    assert {f['filename'] for f in found} == {name}
    for detection, (top, left, bottom, right) in zip(found[:2], windows):
        want = (pixels[top:bottom, left:right] - MEAN).sum((0, 1))
        np.testing.assert_allclose(detection['prediction'][:3], want, rtol=1e-4, atol=1e-4)
    # twice the size: about four pixels a pixel
    mean = (pixels[2:18, 3:19] - MEAN).mean((0, 1))
    np.testing.assert_allclose(found[2]['prediction'][:3] / 64, mean, atol=0.02)
    assert caffe.Detector(*files).detect_windows([]) == []


def test_context_inside_the_picture(files, picture):
    net = caffe.Detector(*files, mean=MEAN, context_pad=2)
    # a 4 x 4 window in the middle of 8 x 8: exactly its surroundings, unscaled
    crop = net.crop(picture[1].astype('f'), np.array([8, 9, 11, 12]))
    np.testing.assert_allclose(crop, picture[1][6:14, 7:15], atol=1e-6)


def test_context_outside_the_picture_is_the_mean(files):
    net = caffe.Detector(*files, mean=MEAN, raw_scale=2, channel_swap=(2, 1, 0), context_pad=2)
    crop = net.crop(np.ones((20, 24, 3), 'f'), np.array([0, 0, 7, 7]))
    # the window grows by 4 on each side: the first two of eight rows and columns lie outside
    filled = np.broadcast_to(MEAN[::-1] / 2, crop[:2].shape)
    np.testing.assert_allclose(crop[:2], filled, rtol=1e-6)
    np.testing.assert_allclose(crop[:, :2], filled.swapaxes(0, 1), rtol=1e-6)
    np.testing.assert_allclose(crop[2:6, 2:6], 1)


def test_a_missing_package_is_named(files):
    with pytest.raises(caffe.CaffeError, match='selective_search_ijcv_with_python'):
        caffe.Detector(*files).detect_selective_search(['a.png'])
