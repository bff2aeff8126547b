"""Codes of boxes: relative to fields of a fixed size about the cells of a map, and to regions (Cai et al. 2016).

Codes are (…, 4), x, y, w and h as they leave a net: x and y are distances of middles in units of a field's or region's
size, w and h logarithms of ratios of sizes; all four less a mean, and divided by a standard deviation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from caffe.layers.support.registry import Layer


class StatedScaling(Protocol):
    """A message that states means and standard deviations of codes."""

    bbox_mean: Sequence[float]
    bbox_std: Sequence[float]


@dataclass(frozen=True)
class Scaling:
    """The `mean` (4) and the standard deviation `std` (4) of codes, in float32."""

    mean: np.ndarray
    std: np.ndarray

    def undo(self, codes: np.ndarray) -> np.ndarray:
        """Codes (…, 4) as they are without a mean and a standard deviation."""
        return codes * self.std + self.mean


def scaling_of(layer: Layer, stated: StatedScaling) -> Scaling:
    """What a layer's message states, 0 and 1 where it states nothing; CaffeError naming the layer for other counts."""
    mean, std = list(stated.bbox_mean), list(stated.bbox_std)
    if len(mean) != len(std) or len(mean) not in (0, 4):
        layer.error(f'has {len(mean)} bbox_mean and {len(std)} bbox_std, expected 4 each')
    if std and min(std) <= 0:
        layer.error(f'bbox_std is {min(std):g}, expected more than 0')
    return Scaling(np.array(mean or [0] * 4, np.float32), np.array(std or [1] * 4, np.float32))


@dataclass(frozen=True)
class Fields:
    """The fields of a map: boxes of `width` and `height` about the middles of cells of `rate` pixels.

    A box's middle stays within ±1 / `xyr` fields of a cell's, its sides within a factor `whr` of the field's.
    """

    width: float
    height: float
    rate: float
    xyr: float
    whr: float

    def problem(self) -> str | None:
        """What is wrong with these numbers, None where nothing is."""
        if min(self.width, self.height, self.rate) <= 0:
            return f'field_w is {self.width}, field_h {self.height}, downsample_rate {self.rate}, expected at least 1'
        if min(self.xyr, self.whr) <= 0:
            return f'field_whr is {self.whr:g}, field_xyr {self.xyr:g}, expected more than 0'
        return None

    @property
    def size(self) -> np.ndarray:
        """(width, height) in float32."""
        return np.array([self.width, self.height], np.float32)

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest code (4) without a mean and a standard deviation."""
        across, along = np.float32(1 / self.xyr), np.log(np.float32(self.whr))
        largest = np.array([across, across, along, along], np.float32)
        return -largest, largest

    def middles(self, height: int, width: int) -> np.ndarray:
        """x and y of the middles (H · W, 2) of the cells of a map, row by row."""
        rows, columns = np.divmod(np.arange(height * width), width)
        return (np.column_stack([columns, rows]).astype(np.float32) + np.float32(0.5)) * np.float32(self.rate)

    def boxes(self, codes: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Corners (H · W, 2) and sizes (H · W, 2) of the boxes that the codes (H · W, 4) of a map's cells mean."""
        codes = np.clip(codes, *self.limits)
        size = self.size * np.exp(codes[:, 2:])
        return codes[:, :2] * self.size + self.middles(height, width) - size / 2, size


def extents(boxes: np.ndarray) -> np.ndarray:
    """Boxes (…, 4) with their last pixels inside as boxes that end where these do."""
    return boxes + np.array([0, 0, 1, 1], boxes.dtype)


def _middles(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles (…, 2) and sizes (…, 2) of boxes with their last pixels inside."""
    size = boxes[..., 2:] - boxes[..., :2] + 1
    return boxes[..., :2] + size / 2, size


def encode(boxes: np.ndarray, regions: np.ndarray, scaling: Scaling) -> np.ndarray:
    """The codes (R, 4) of boxes (R, 4) relative to regions (R, 4), both with their last pixels inside."""
    (middle, size), (origin, unit) = _middles(boxes), _middles(regions)
    codes = np.concatenate([(middle - origin) / unit, np.log(size / unit)], -1)
    return (codes - scaling.mean) / scaling.std


def decode(codes: np.ndarray, regions: np.ndarray, scaling: Scaling) -> np.ndarray:
    """The boxes (R, 4) that `encode` turns into codes (R, 4)."""
    codes, (origin, unit) = scaling.undo(codes), _middles(regions)
    size = unit * np.exp(codes[..., 2:])
    corner = codes[..., :2] * unit + origin - size / 2
    return np.concatenate([corner, corner + size - 1], -1)
