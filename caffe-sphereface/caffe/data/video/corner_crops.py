"""Crops at fixed places and of several sizes (Wang et al. 2015), of the Caffe that TSN trains with."""

from collections.abc import Sequence

import cv2
import numpy as np

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

_RATIOS = 1.0, 0.875, 0.75, 0.66  # where the parameter states none
# places in quarters of the way that a window can go down and to the right: corners and centre, and further ones
_PLACES = (0, 0), (0, 4), (4, 0), (4, 4), (2, 2)
_MORE_PLACES = (0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (1, 3), (3, 1), (3, 3)


class CornerCrops:
    """Cuts a window out of a picture and makes it `crop` (height, width) pixels large.

    With `multi_scale` the window is as high and as wide as the shorter side of the picture times one of `scale_ratios`
    each, which are at most `max_distort` places apart in their list; a side within 2 pixels of the crop's is the
    crop's. Without, it has the size of the crop. With `fix_crop` it lies in a corner or the centre, with
    `more_fix_crop` also between these, and without anywhere.
    """

    def __init__(self, param: caffe_pb2.TransformationParameter, crop: tuple[int, int] | None) -> None:
        if crop is None:
            raise CaffeError('fix_crop and multi_scale of transform_param: expected crop_size as well')
        if param.HasField('mean_file'):
            raise CaffeError('transform_param has mean_file with fix_crop or multi_scale, expected mean_value')
        ratios = [*param.scale_ratios] or [*_RATIOS]
        if not all(0 < ratio <= 1 for ratio in ratios):
            raise CaffeError(f'scale_ratios are {[round(r, 4) for r in ratios]}, expected values above 0 and at most 1')
        self._crop = crop
        self._ratios = ratios if param.multi_scale else None
        self._most_apart = param.max_distort
        self._places = (_PLACES + (_MORE_PLACES if param.more_fix_crop else ())) if param.fix_crop else None

    def sizes(self, height: int, width: int) -> Sequence[tuple[int, int]]:
        """The (height, width) that windows of a picture of that size may have."""
        if self._ratios is None:
            return [self._crop]
        base = min(height, width)
        sides = [
            [wanted if abs(int(base * ratio) - wanted) < 3 else int(base * ratio) for ratio in self._ratios]
            for wanted in self._crop
        ]
        pairs = np.ndindex(len(self._ratios), len(self._ratios))
        return [(sides[0][i], sides[1][j]) for i, j in pairs if abs(i - j) <= self._most_apart]

    def offsets(self, down: int, right: int, random: np.random.Generator) -> tuple[int, int]:
        """Where a window begins that can go `down` rows and `right` columns."""
        if self._places is None:
            return int(random.integers(down + 1)), int(random.integers(right + 1))
        rows, columns = self._places[random.integers(len(self._places))]
        return rows * (down // 4), columns * (right // 4)

    def __call__(self, planes: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The window of planes (channels, height, width) of bytes, all of them cut and resized alike."""
        sizes = self.sizes(*planes.shape[1:])
        height, width = sizes[int(random.integers(len(sizes)))]
        down, right = planes.shape[1] - height, planes.shape[2] - width
        if min(down, right) < 0:
            raise CaffeError(f'a window of {height}x{width} is larger than the picture of {planes.shape[1:]}')
        top, left = self.offsets(down, right, random)
        window = planes[:, top : top + height, left : left + width]
        if (height, width) == self._crop:
            return window
        return np.stack([cv2.resize(plane, self._crop[::-1]) for plane in window])
