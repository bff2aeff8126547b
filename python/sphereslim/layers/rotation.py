"""RandomRotation: every picture of a batch turned about its middle by an angle of its own, in phase TRAIN."""

from __future__ import annotations

import json
from collections.abc import Sequence

import cv2
import numpy as np

from sphereslim.engine import Blob, caffe


class RandomRotation(caffe.Layer):
    """(N, C, H, W) -> the same; `param_str` is JSON: `degrees`, the largest angle, and `seed` (default 0).

    Angles are uniform in +-degrees, drawn anew in every forward. Corners repeat the border. Phase TEST copies.
    """

    param_str: str
    phase: int

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read `param_str`; ValueError where it is not as above."""
        try:
            param = json.loads(self.param_str)
            self.degrees = float(param['degrees'])
            self.random = np.random.default_rng(int(param.get('seed', 0)))
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f'RandomRotation: param_str {self.param_str!r}, expected {{"degrees": 10, "seed": 0}}'
            ) from None

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        pictures = bottom[0].data
        if self.phase == caffe.TEST:
            top[0].data[...] = pictures
            return
        angles = self.random.uniform(-self.degrees, self.degrees, len(pictures))
        for picture, angle, target in zip(pictures, angles, top[0].data):
            target[...] = rotated(picture, angle)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """Pictures have no gradient."""


def rotated(picture: np.ndarray, angle: float) -> np.ndarray:
    """A float32 picture (C, H, W) turned by `angle` degrees, counter-clockwise, bilinear, borders repeated."""
    _, height, width = picture.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1)
    pixels = np.ascontiguousarray(picture.transpose(1, 2, 0))
    turned = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return turned.reshape(height, width, -1).transpose(2, 0, 1)
