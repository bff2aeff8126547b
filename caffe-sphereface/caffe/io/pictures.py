"""Pictures for nets: float32 arrays (height, width, channels) in RGB order with values from 0 to 1."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from caffe.data.pictures import decode
from caffe.errors import CaffeError
from caffe.proto.files import read_bytes

# luminance of linear RGB (ITU-R BT.709), as scikit-image weighs it
_GREY = np.array([0.2125, 0.7154, 0.0721], np.float32)


def load_image(filename: str | Path, color: bool = True) -> np.ndarray:
    """Read a picture as (height, width, 3), or (height, width, 1) grey with `color` False.

    Transparency is dropped. Raises CaffeError naming the file when it cannot be read or decoded.
    """
    image = decode(read_bytes(filename), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise CaffeError(f'{filename}: is not a picture that can be decoded')
    full = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1
    image = np.atleast_3d(image)[:, :, :3].astype(np.float32) / np.float32(full)
    if image.shape[2] == 3:
        image = np.ascontiguousarray(image[:, :, ::-1])
        return image if color else (image @ _GREY)[:, :, np.newaxis]
    return np.tile(image[:, :, :1], 3) if color else image[:, :, :1]


def oversample(images: np.ndarray | Sequence[np.ndarray], crop_dims: Iterable[float]) -> np.ndarray:
    """Ten crops per picture: four corners, the centre, and the five mirrored.

    `images` is a sequence of equal (height, width, channels); the result (10·n, *crop_dims, channels) float32.
    """
    height, width, channels = np.array(images[0]).shape
    crop_h, crop_w = (int(d) for d in crop_dims)
    tops = [0, 0, height - crop_h, height - crop_h, int(height / 2 - crop_h / 2)]
    lefts = [0, width - crop_w, 0, width - crop_w, int(width / 2 - crop_w / 2)]
    crops = np.empty((len(images), 10, crop_h, crop_w, channels), np.float32)
    for image, ten in zip(images, crops):
        for crop, top, left in zip(ten, tops, lefts):
            crop[...] = image[top : top + crop_h, left : left + crop_w]
        ten[5:] = ten[:5, :, ::-1]
    return crops.reshape(-1, crop_h, crop_w, channels)
