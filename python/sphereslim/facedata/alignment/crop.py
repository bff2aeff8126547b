"""Cutting a network's view out of a picture that is aligned already but wider."""

import cv2
import numpy as np

from sphereslim.errors import SlimError
from sphereslim.facedata.alignment.align import SIZE

ANCHORS = ('left', 'centre')


def crop(image: np.ndarray, anchor: str, border: int = 0) -> np.ndarray:
    """The part of SIZE of an aligned picture at its left or in its middle (`anchor`, one of ANCHORS).

    With `border` so many pixels more on every side; beyond the picture its outermost ones are repeated.

    Raises SlimError when the picture has another height or is too narrow: it is then no aligned face.
    """
    height, width = SIZE
    if image.shape[0] != height or image.shape[1] < width:
        raise SlimError(
            f'is {image.shape[1]}x{image.shape[0]}, expected an aligned face {height} high and '
            f'at least {width} wide; detect and align it first'
        )
    start = 0 if anchor == 'left' else (image.shape[1] - width) // 2
    if border:
        image = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
    return image[:, start : start + width + 2 * border]
