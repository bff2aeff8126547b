"""How a picture file becomes a net's input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sphereslim.data.pictures import read_picture
from sphereslim.errors import SlimError

CUTS = ('centre', 'left')
CROPS = (*CUTS, 'resize', 'area')


@dataclass(frozen=True)
class InputForm:
    """How a picture becomes an input: (x - mean) · scale, channels as BGR or RGB, the part of the net's size.

    `mean` is a number, or one per channel in the net's order. `crop`: that part lies in the 'centre' or at the 'left'
    (rows still from the middle), or the whole picture is resized, bilinear ('resize') or by the mean of areas ('area').
    """

    mean: float | tuple[float, ...] = 127.5
    scale: float = 0.0078125
    rgb: bool = False
    crop: str = 'centre'


def load(path: str | Path, channels: int, height: int, width: int, crop: str = 'centre') -> np.ndarray:
    """A picture file as uint8 (channels, height, width), cut or resized; SlimError when unreadable or too small."""
    image = read_picture(path, channels)
    if crop in ('resize', 'area'):
        how = cv2.INTER_AREA if crop == 'area' else cv2.INTER_LINEAR
        image = cv2.resize(image, (width, height), interpolation=how)
    else:
        image = cut(path, image, height, width, crop)
    return image.transpose(2, 0, 1) if channels == 3 else image[None]


def cut(path: str | Path, image: np.ndarray, height: int, width: int, crop: str = 'centre') -> np.ndarray:
    """The part of a picture (rows, columns, …) of the net's size; SlimError naming the file when it is too small."""
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    if top < 0 or left < 0:
        raise SlimError(f'{path}: is {image.shape[1]}x{image.shape[0]}, the net expects at least {width}x{height}')
    left = 0 if crop == 'left' else left
    return image[top : top + height, left : left + width]


def prepare(images: np.ndarray, form: InputForm) -> np.ndarray:
    """What a net reads, float32 (N, C, H, W), of loaded pictures as `load` gives them."""
    if form.rgb:
        images = images[:, ::-1]
    mean = np.asarray(form.mean, np.float32).reshape(-1, 1, 1)
    return (images.astype(np.float32) - mean) * np.float32(form.scale)
