"""The three networks of MTCNN and the form of their inputs."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from sphereslim.errors import SlimError
from sphereslim.net.opened import load_net

PROTOTXT = Path(__file__).resolve().parent / 'prototxt'
NAMES = ('det1', 'det2', 'det3')


class Networks:
    """det1 to det3 with the weights det1.caffemodel to det3.caffemodel of folder `weights`.

    `nets` are the open ones by name. Raises SlimError when one is missing, CaffeError when one does not fit.
    """

    def __init__(self, weights: str | Path) -> None:
        paths = [Path(weights) / f'{name}.caffemodel' for name in NAMES]
        for path in paths:
            if not path.is_file():
                raise SlimError(f'{path}: no such file, expected det1, det2 and det3.caffemodel in {weights}')
        self.nets = {name: load_net(PROTOTXT / f'{name}.prototxt', path) for name, path in zip(NAMES, paths)}

    def run(self, name: str, images: np.ndarray) -> dict[str, np.ndarray]:
        """{output blob: array} of network `name` for uint8 BGR pictures (N, height, width, 3)."""
        net = self.nets[name]
        inputs = as_input(images)
        net.blobs['data'].reshape(*inputs.shape)
        net.blobs['data'].data[...] = inputs
        return {blob: values.copy() for blob, values in net.forward().items()}


def as_input(images: np.ndarray) -> np.ndarray:
    """(N, 3, width, height) float32 of BGR pictures (N, height, width, 3): RGB, (x - 127.5) / 128.

    Width comes before height because the networks were trained from MATLAB, whose arrays run down the columns first.
    """
    return (images[..., ::-1].transpose(0, 3, 2, 1).astype(np.float32) - 127.5) / 128


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture at another size: by the mean over areas when it shrinks, else bilinear."""
    shrinks = width * height < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def cut(image: np.ndarray, box: Iterable[float], size: int) -> np.ndarray:
    """The part of a picture within `box` (whole pixels; black outside the picture) at `size`×`size`."""
    x1, y1, x2, y2 = (int(edge) for edge in box)
    inside = image[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)]
    part = np.zeros((y2 - y1, x2 - x1, 3), np.uint8)
    part[max(-y1, 0) : max(-y1, 0) + inside.shape[0], max(-x1, 0) : max(-x1, 0) + inside.shape[1]] = inside
    return resize(part, size, size)
