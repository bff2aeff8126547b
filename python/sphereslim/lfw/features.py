"""Features of pictures by a deploy net."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from sphereslim.engine import caffe
from sphereslim.errors import SlimError


@dataclass(frozen=True)
class InputForm:
    """How a picture becomes an input: (x - mean) · scale, channels as BGR or RGB, centre crop to the net's size."""

    mean: float = 127.5
    scale: float = 0.0078125
    rgb: bool = False


def extract(net, pictures, form=None, feature=None, mirror=True, batch=32, progress=iter):
    """Features (pictures, dimensions) of picture files, float32; twice the blob's length with `mirror`.

    `net` is a deploy net, `feature` the blob to read, the net's first output by default. With `mirror` the features of
    the picture and of its mirror image are concatenated. `progress` wraps the iterable of batches.
    """
    form = form or InputForm()
    feature = feature or net.outputs[0]
    if feature not in net.blobs:
        raise SlimError(f"no blob '{feature}' in the net, expected one of: {', '.join(net.blobs)}")
    data = net.blobs[net.inputs[0]]
    _, channels, height, width = data.data.shape
    starts = range(0, len(pictures), batch)
    found = []
    with ThreadPoolExecutor() as pool:
        for start in progress(starts):
            paths = pictures[start:start + batch]
            images = np.stack(list(pool.map(lambda path: load(path, channels, height, width), paths)))
            found.append(_features(net, feature, _prepare(images, form), mirror))
    return np.concatenate(found)


def load(path, channels, height, width):
    """A picture file as uint8 (channels, height, width), its centre cut out; SlimError when unreadable or too small."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise SlimError(f'{path}: cannot be read as a picture')
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    if top < 0 or left < 0:
        raise SlimError(f'{path}: is {image.shape[1]}x{image.shape[0]}, the net expects at least {width}x{height}')
    image = image[top:top + height, left:left + width]
    return image.transpose(2, 0, 1) if channels == 3 else image[None]


def _prepare(images, form):
    if form.rgb:
        images = images[:, ::-1]
    return (images.astype(np.float32) - np.float32(form.mean)) * np.float32(form.scale)


def _features(net, feature, images, mirror):
    both = [images, images[..., ::-1]] if mirror else [images]
    return np.concatenate([_run(net, feature, part) for part in both], axis=1)


def _run(net, feature, images):
    data = net.blobs[net.inputs[0]]
    if data.data.shape != images.shape:
        data.reshape(*images.shape)
        net.reshape()
    data.data[...] = images
    net.forward()
    return net.blobs[feature].data.reshape(len(images), -1).copy()


def open_net(deploy, weights):
    """A `caffe.Net` in phase TEST of a deploy prototxt and its caffemodel."""
    for path in (deploy, weights):
        if not _exists(path):
            raise SlimError(f'{path}: no such file')
    return caffe.Net(str(deploy), str(weights), caffe.TEST)


def _exists(path):
    try:
        with open(path, 'rb'):
            return True
    except OSError:
        return False
