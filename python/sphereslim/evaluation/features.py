"""Features of pictures by a deploy net."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from sphereslim.data.pictures import read_picture
from sphereslim.errors import SlimError
from sphereslim.files import read_bytes

CROPS = ('centre', 'left', 'resize')


@dataclass(frozen=True)
class InputForm:
    """How a picture becomes an input: (x - mean) · scale, channels as BGR or RGB, the part of the net's size.

    `mean` is a number, or one per channel in the net's order. `crop`: that part lies in the 'centre' or at the 'left'
    (rows still from the middle), or the whole picture is resized ('resize').
    """

    mean: float | tuple = 127.5
    scale: float = 0.0078125
    rgb: bool = False
    crop: str = 'centre'


def extract(net, pictures, form=None, feature=None, mirror=True, batch=32, progress=iter):
    """Features (pictures, dimensions) of picture files, float32; twice the blob's length with `mirror`.

    `net` is a deploy net, `feature` the blob to read, the net's first output by default. With `mirror` the features of
    the picture and of its mirror image are concatenated. `progress` wraps the iterable of batches. SlimError names a
    picture that cannot be used, or a blob that the net does not have.
    """
    form = form or InputForm()
    check(net, form, feature)
    shape = net.blobs[net.inputs[0]].data.shape[1:]
    found = []
    with ThreadPoolExecutor() as pool:

        def begin(start):
            return [pool.submit(load, path, *shape, form.crop) for path in pictures[start : start + batch]]

        waiting = begin(0)
        for start in progress(range(0, len(pictures), batch)):
            images = np.stack([job.result() for job in waiting])
            waiting = begin(start + batch)  # read while the net computes
            found.append(features(net, images, form, feature, mirror))
    return np.concatenate(found)


def check(net, form, feature=None):
    """SlimError unless `net` takes pictures of `form` and has the blob `feature`."""
    shape = tuple(net.blobs[net.inputs[0]].data.shape) if net.inputs else ()
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise SlimError(f'net {net.name}: its input is {shape}, expected pictures (N, 1 or 3, height, width)')
    if np.size(form.mean) not in (1, shape[1]):
        raise SlimError(f'{np.size(form.mean)} means for {shape[1]} channels, expected 1 or {shape[1]}')
    if form.crop not in CROPS:
        raise SlimError(f"crop '{form.crop}', expected one of: {', '.join(CROPS)}")
    if feature and feature not in net.blobs:
        raise SlimError(f"no blob '{feature}' in the net, expected one of: {', '.join(net.blobs)}")


def features(net, images, form, feature=None, mirror=True):
    """Features (N, dimensions) of loaded pictures (N, C, H, W) as `load` gives them; see `extract`."""
    images = prepare(images, form)
    both = [images, images[..., ::-1]] if mirror else [images]
    return np.concatenate([_run(net, feature or net.outputs[0], part) for part in both], axis=1)


def load(path, channels, height, width, crop='centre'):
    """A picture file as uint8 (channels, height, width), cut or resized; SlimError when unreadable or too small."""
    image = read_picture(path, channels)
    if crop == 'resize':
        image = cv2.resize(image, (width, height))
    else:
        image = _cut(path, image, height, width, crop)
    return image.transpose(2, 0, 1) if channels == 3 else image[None]


def open_deploy(deploy, weights):
    """A `caffe.Net` in phase TEST of a deploy prototxt and its caffemodel."""
    from sphereslim.engine import caffe  # here, since it takes seconds to load and cached features need none of it

    for path in (deploy, weights):
        read_bytes(path)
    return caffe.Net(str(deploy), str(weights), caffe.TEST)


def _cut(path, image, height, width, crop):
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    if top < 0 or left < 0:
        raise SlimError(f'{path}: is {image.shape[1]}x{image.shape[0]}, the net expects at least {width}x{height}')
    left = 0 if crop == 'left' else left
    return image[top : top + height, left : left + width]


def prepare(images, form):
    """What a net reads, float32 (N, C, H, W), of loaded pictures as `load` gives them."""
    if form.rgb:
        images = images[:, ::-1]
    mean = np.float32(form.mean).reshape(-1, 1, 1)
    return (images.astype(np.float32) - mean) * np.float32(form.scale)


def _run(net, feature, images):
    data = net.blobs[net.inputs[0]]
    if data.data.shape != images.shape:
        data.reshape(*images.shape)
        net.reshape()
    data.data[...] = images
    net.forward()
    return net.blobs[feature].data.reshape(len(images), -1).copy()
