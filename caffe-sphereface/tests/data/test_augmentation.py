"""Crop, mirror, mean and scale."""

import numpy as np
import pytest
import torch

import caffe
from caffe.data.augmentation import Transformer, read_mean
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


def picture(height=9, width=7, channels=3):
    return np.random.default_rng(3).integers(0, 256, (height, width, channels), np.uint8)


def run(image, phase=caffe.TEST, draw=(0, 0, 0), planes=False, **fields):
    """What the net gets, which must be the same to the bit whether the workers or the device do the arithmetic."""
    param = caffe_pb2.TransformationParameter(**fields)
    early, late = (once(Transformer(param, phase, late), image, draw, planes) for late in (False, True))
    assert early.dtype == late.dtype == np.float32 and np.array_equal(early, late)
    return early


def once(transformer, image, draw, planes):
    made = []

    def slot(shape, dtype):
        made.append(torch.from_numpy(np.zeros((1, *shape), dtype)))
        return made[0].numpy()[0]

    place = transformer.place_planes if planes else transformer.place
    place(image, np.array(draw, float), slot)
    assert len(made) == 1
    return transformer.finish(made[0]).numpy()[0]


def write_mean(path, values):
    blob = caffe_pb2.BlobProto(num=1, channels=values.shape[0], height=values.shape[1], width=values.shape[2])
    blob.data.extend(values.reshape(-1).tolist())
    path.write_bytes(blob.SerializeToString())
    return str(path)


def test_channels_come_first():
    assert np.array_equal(run(picture()), picture().transpose(2, 0, 1))


def test_centre_crop_in_test_rounds_down():
    assert np.array_equal(run(picture(9, 8), crop_size=5), picture(9, 8)[2:7, 1:6].transpose(2, 0, 1))


@pytest.mark.parametrize('draw,top,left', [((0, 0, 0), 0, 0), ((0, 0.999, 0.5), 4, 1), ((0, 0.5, 0.999), 2, 2)])
def test_random_crop_in_train(draw, top, left):
    image = picture(9, 7)
    cropped = run(image, caffe.TRAIN, draw, crop_size=5)
    assert np.array_equal(cropped, image[top : top + 5, left : left + 5].transpose(2, 0, 1))


@pytest.mark.parametrize('channels', [1, 3])
def test_mirror_follows_the_draw(channels):
    image = picture(channels=channels)
    assert np.array_equal(run(image, draw=(0.7, 0, 0), mirror=True), image[:, ::-1].transpose(2, 0, 1))
    assert np.array_equal(run(image, draw=(0.2, 0, 0), mirror=True), image.transpose(2, 0, 1))


def test_mean_values_and_scale_are_float32_arithmetic():
    expected = (
        picture().transpose(2, 0, 1).astype('f4') - np.array([104, 117, 123], 'f4')[:, None, None]
    ) * np.float32(0.017)
    assert np.array_equal(run(picture(), mean_value=[104, 117, 123], scale=0.017), expected)


def test_mean_image_is_taken_at_the_place_of_the_crop_before_mirroring(tmp_path):
    mean = np.random.default_rng(0).random((3, 9, 7)).astype('f4') * 100
    path = write_mean(tmp_path / 'mean.binaryproto', mean)
    got = run(picture(), caffe.TRAIN, (0.9, 0.4, 0.9), mean_file=path, crop_size=5, mirror=True, scale=0.5)
    whole = (picture().transpose(2, 0, 1).astype('f4') - mean) * np.float32(0.5)
    assert np.array_equal(got, whole[:, 2:7, 2:7][..., ::-1])


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_planes_are_treated_like_pictures(dtype):
    image = picture()
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(dtype)
    fields = {'crop_size': 4, 'mirror': True, 'mean_value': [10, 20, 30], 'scale': 0.25}
    got = run(planes, caffe.TRAIN, (0.8, 0.3, 0.6), True, **fields)
    assert np.array_equal(got, run(image, caffe.TRAIN, (0.8, 0.3, 0.6), **fields))


@pytest.mark.parametrize('fields,part', [({'crop_size': 8}, 'crop_size 8'), ({'mean_value': [1, 2]}, 'mean_value')])
def test_what_does_not_fit_is_named(fields, part):
    with pytest.raises(CaffeError, match=part):
        run(picture(), **fields)


def test_a_mean_of_another_size_or_kind_is_refused(tmp_path):
    path = write_mean(tmp_path / 'mean.binaryproto', np.zeros((3, 5, 5)))
    with pytest.raises(CaffeError, match='expected the same'):
        run(picture(), mean_file=path)
    with pytest.raises(CaffeError, match='expected one of them'):
        run(picture(), mean_file=path, mean_value=[1])
    (tmp_path / 'cut').write_bytes((tmp_path / 'mean.binaryproto').read_bytes()[:-3])
    with pytest.raises(CaffeError, match='cut'):
        read_mean(str(tmp_path / 'cut'))


def test_draws_are_needed_only_where_something_is_random():
    generator = np.random.default_rng(1)
    fixed = Transformer(caffe_pb2.TransformationParameter(crop_size=3), caffe.TEST)
    assert not fixed.draws(generator, 4).any()
    assert Transformer(caffe_pb2.TransformationParameter(crop_size=3), caffe.TRAIN).draws(generator, 4).all()
