"""A frontal map of the head: what is painted on it, and soft shapes to paint with.

The map covers the head units LEFT..LEFT+WIDTH by TOP..TOP+HEIGHT with DENSITY pixels per unit.
"""

from collections.abc import Iterable, Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

DENSITY = 96
LEFT, TOP, WIDTH, HEIGHT = -1.2, -1.35, 2.4, 2.6
COLUMNS, ROWS = round(WIDTH * DENSITY), round(HEIGHT * DENSITY)
SHIFT = 4  # fractional bits of OpenCV's drawing coordinates


@cache
def axes() -> tuple[np.ndarray, np.ndarray]:
    """x (1×COLUMNS) and y (ROWS×1) of the map's pixels in head units, float32."""
    x = (np.arange(COLUMNS, dtype=np.float32) / DENSITY + LEFT)[None, :]
    y = (np.arange(ROWS, dtype=np.float32) / DENSITY + TOP)[:, None]
    return x, y


def to_map(points: npt.ArrayLike) -> np.ndarray:
    """Map pixels of points in head units, float64."""
    return (np.asarray(points, dtype=np.float64) - (LEFT, TOP)) * DENSITY


def polygon(shape: Sequence[int], pixels: np.ndarray, soft: float = 0.0) -> np.ndarray:
    """Coverage 0..1 (float32, `shape` rows and columns) of a polygon in pixels, its edge blurred by `soft` pixels."""
    mask = np.zeros(shape, np.uint8)
    fixed = np.round(np.asarray(pixels) * (1 << SHIFT)).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, SHIFT)
    if soft:
        mask = cv2.GaussianBlur(mask, (0, 0), soft)
    return mask.astype(np.float32) / 255


def fill(
    image: np.ndarray,
    pixels: np.ndarray,
    colour: npt.ArrayLike,
    opacity: float = 1.0,
    soft: float = 0.0,
    within: np.ndarray | None = None,
) -> None:
    """Paint a polygon (pixels) on a float32 image in place, only where `within` (coverage) lets it."""
    margin = 3 * soft + 2
    low = np.maximum(np.floor(np.min(pixels, axis=0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(np.max(pixels, axis=0) + margin), image.shape[1::-1]).astype(int)
    if (high <= low).any():
        return
    box = np.s_[low[1] : high[1], low[0] : high[0]]
    cover = polygon((high - low)[::-1], np.asarray(pixels) - low, soft) * opacity
    if within is not None:
        cover *= within[box]
    blend(image[box], cover, colour)


def blend(image: np.ndarray, cover: np.ndarray, colour: npt.ArrayLike) -> None:
    """Lay `colour` (BGR or an image) over a float32 `image` in place with coverage 0..1."""
    image += cover[..., None] * (np.asarray(colour, dtype=np.float32) - image)


def ellipse(
    centre: npt.ArrayLike, radii: Iterable[float], angle: float = 0.0, squareness: float = 2.0, count: int = 40
) -> np.ndarray:
    """Points of a (super)ellipse; squareness 2 is an ellipse, more is boxier; angle in radians."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    x, y = (np.sign(f) * np.abs(f) ** (2 / squareness) * r for f, r in zip((np.cos(t), np.sin(t)), radii))
    return np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], 1) + centre


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Smooth noise of mean 0 and deviation about 1; `cells` (rows, columns) of independent values."""
    small = rng.standard_normal(cells).astype(np.float32)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
