"""caffe.io: pictures, conversions of messages, Transformer."""

import cv2
import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


@pytest.fixture
def written(tmp_path):
    """Write a BGR array as a picture of the given name; its path."""

    def write(name, array):
        assert cv2.imwrite(str(tmp_path / name), array)
        return str(tmp_path / name)

    return write


def test_load_image_is_rgb_from_0_to_1(written):
    image = caffe.io.load_image(written('a.png', PICTURE))
    assert image.dtype == np.float32 and image.shape == (20, 30, 3)
    np.testing.assert_allclose(image, PICTURE[:, :, ::-1] / 255, atol=1e-7)


def test_load_image_grey_weighs_the_channels(written):
    image = caffe.io.load_image(written('a.png', PICTURE), color=False)
    want = PICTURE @ np.array([0.0721, 0.7154, 0.2125]) / 255
    np.testing.assert_allclose(image, want[:, :, None], atol=1e-6)


@pytest.mark.parametrize('color, channels', [(True, 3), (False, 1)])
def test_load_image_of_a_grey_picture(written, color, channels):
    image = caffe.io.load_image(written('g.png', PICTURE[:, :, 0]), color)
    assert image.shape == (20, 30, channels)
    assert (image == np.float32(PICTURE[:, :, :1] / 255)).all()


def test_load_image_drops_transparency_and_takes_16_bits(written):
    plain = caffe.io.load_image(written('a.png', PICTURE))
    assert (caffe.io.load_image(written('b.png', np.dstack([PICTURE, PICTURE[:, :, :1]]))) == plain).all()
    deep = caffe.io.load_image(written('c.png', PICTURE.astype(np.uint16) * 257))
    np.testing.assert_allclose(deep, plain, atol=1e-7)


@pytest.mark.parametrize('content', [None, b'', b'not a picture'])
def test_load_image_names_what_it_cannot_read(tmp_path, content):
    path = tmp_path / 'x.png'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(caffe.CaffeError, match='x.png'):
        caffe.io.load_image(str(path))


@pytest.mark.parametrize('shape, dims', [((20, 30, 3), (11, 17)), ((20, 30, 3), (41, 33)), ((7, 5, 1), (7, 10))])
@pytest.mark.parametrize('order', [0, 1, 3])
def test_resize_equals_scikit_image(shape, dims, order):
    transform = pytest.importorskip('skimage.transform')
    image = np.random.default_rng(1).random(shape).astype('f') + 0.5
    low, high = image.min(), image.max()
    want = transform.resize((image - low) / (high - low), dims, order=order, mode='constant', anti_aliasing=False)
    got = caffe.io.resize_image(image, dims, order)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want * (high - low) + low, atol=1e-5)


@pytest.mark.parametrize('dims', [(11, 17), (33, 50), (1, 1)])
@pytest.mark.parametrize('order', [0, 1, 2])
def test_resize_of_other_channel_counts_equals_scipy(dims, order):
    ndimage = pytest.importorskip('scipy.ndimage')
    image = np.random.default_rng(1).random((20, 30, 4)).astype('f')
    want = ndimage.zoom(image, (dims[0] / 20, dims[1] / 30, 1), order=order)
    np.testing.assert_allclose(caffe.io.resize_image(image, dims, order), want, atol=1e-5)


def test_resize_of_one_colour_and_of_the_same_size():
    flat = np.full((4, 5, 3), 7, np.uint8)
    assert (caffe.io.resize_image(flat, (2, 9)) == 7).all()
    image = np.random.default_rng(1).random((4, 5, 3)).astype('f')
    np.testing.assert_allclose(caffe.io.resize_image(image, (4, 5)), image, atol=1e-6)


def test_oversample_takes_corners_centre_and_mirrors():
    images = np.random.default_rng(2).random((2, 7, 9, 3)).astype('f')
    crops = caffe.io.oversample(images, (4, 5))
    assert crops.shape == (20, 4, 5, 3) and crops.dtype == np.float32
    for image, ten in zip(images, crops.reshape(2, 10, 4, 5, 3)):
        corners = image[:4, :5], image[:4, 4:], image[3:, :5], image[3:, 4:], image[1:5, 2:7]
        assert (ten[:5] == np.stack(corners)).all()
        assert (ten[5:] == ten[:5, :, ::-1]).all()


@pytest.mark.parametrize('shape', [(), (3,), (2, 3, 4, 5, 6)])
def test_blobproto_round_trip(shape):
    data, diff = np.random.default_rng(0).random((2, *shape)).astype('f')
    blob = caffe.io.array_to_blobproto(np.asarray(data), np.asarray(diff))
    blob = caffe_pb2.BlobProto.FromString(blob.SerializeToString())
    assert (caffe.io.blobproto_to_array(blob) == data).all()
    assert (caffe.io.blobproto_to_array(blob, return_diff=True) == diff).all()
    assert caffe.io.blobproto_to_array(blob).shape == shape


def test_blobproto_of_old_and_of_double():
    old = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=3, data=range(6))
    assert caffe.io.blobproto_to_array(old).tolist() == [[[[0, 1, 2]], [[3, 4, 5]]]]
    double = caffe_pb2.BlobProto(double_data=[0.1, 0.2], shape=caffe_pb2.BlobShape(dim=[2]))
    assert caffe.io.blobproto_to_array(double).tolist() == [0.1, 0.2]
    with pytest.raises(caffe.CaffeError, match='2 values'):
        caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=[1, 2], shape=caffe_pb2.BlobShape(dim=[3])))


def test_blobproto_without_a_shape_holds_a_single_value():
    assert caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=[123])).shape == ()
    for values in ([], [1, 2]):
        with pytest.raises(ValueError, match=f'has {len(values)} values and no shape'):
            caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=values))


def test_blobproto_vector_round_trip():
    arrays = [np.arange(6, dtype='f').reshape(2, 3), np.ones(4, 'f')]
    back = caffe.io.blobprotovector_str_to_arraylist(caffe.io.arraylist_to_blobprotovector_str(arrays))
    assert all((a == b).all() and a.shape == b.shape for a, b in zip(arrays, back))


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_datum_round_trip(dtype):
    array = (np.random.default_rng(0).random((3, 4, 5)) * 255).astype(dtype)
    datum = caffe.io.array_to_datum(array, 7)
    assert bool(datum.data) == (dtype == np.uint8) and datum.label == 7
    assert (caffe.io.datum_to_array(datum) == array).all()
    with pytest.raises(caffe.CaffeError, match='expected \\(channels'):
        caffe.io.array_to_datum(array[0])


def transformer(shape=(1, 3, 10, 15)):
    made = caffe.io.Transformer({'data': shape})
    made.set_transpose('data', (2, 0, 1))
    made.set_channel_swap('data', (2, 1, 0))
    made.set_raw_scale('data', 255)
    made.set_mean('data', np.array([104, 117, 123]))
    made.set_input_scale('data', 0.017)
    return made


def test_preprocess_by_hand_and_back(written):
    image = caffe.io.load_image(written('a.png', PICTURE))
    before = image.copy()
    data = transformer((1, 3, 20, 30)).preprocess('data', image)
    want = (PICTURE.transpose(2, 0, 1) - np.array([104, 117, 123])[:, None, None]) * 0.017
    assert data.dtype == np.float32
    np.testing.assert_allclose(data, want, atol=1e-4)
    np.testing.assert_allclose(transformer((1, 3, 20, 30)).deprocess('data', data[None]), image, atol=1e-5)
    assert (image == before).all()


def test_preprocess_resizes_and_does_nothing_unasked():
    image = np.random.default_rng(0).random((20, 30, 3)).astype('f')
    assert transformer().preprocess('data', image).shape == (3, 10, 15)
    assert (caffe.io.Transformer({'data': (1, 3, 20, 30)}).preprocess('data', image) == image).all()


def test_mean_pictures_are_resized_where_necessary():
    made = transformer()
    mean = np.random.default_rng(0).random((3, 10, 15))
    made.set_mean('data', mean)
    assert (made.mean['data'] == mean).all()
    made.set_mean('data', np.full((3, 20, 30), 7.0))
    assert made.mean['data'].shape == (3, 10, 15) and (made.mean['data'] == 7).all()


@pytest.mark.parametrize(
    'method, args',
    [
        ('set_transpose', ('data', (1, 0))),
        ('set_channel_swap', ('data', (0, 1))),
        ('set_mean', ('data', np.ones(2))),
        ('set_mean', ('data', np.ones((2, 10, 15)))),
        ('set_raw_scale', ('other', 1)),
        ('preprocess', ('other', PICTURE)),
    ],
)
def test_transformer_says_what_it_expected(method, args):
    with pytest.raises(caffe.CaffeError, match='Transformer: .*(expected|not one of)'):
        getattr(transformer(), method)(*args)
