"""Boxes (xmin, ymin, xmax, ymax) as float32 arrays (…, 4): their areas, and how far they overlap."""

import numpy as np


def split(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(minimum corners (…, 2), maximum corners (…, 2))."""
    return boxes[..., :2], boxes[..., 2:]


def areas(boxes: np.ndarray) -> np.ndarray:
    """The area of each box, 0 where a maximum lies below its minimum."""
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    return np.maximum(width, 0) * np.maximum(height, 0)


def common_areas(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The areas (M, N) that boxes (M, 4) and (N, 4) have in common."""
    low_x, low_y, high_x, high_y = np.ascontiguousarray(a.T)[:, :, None]
    others = np.ascontiguousarray(b.T)
    width = np.minimum(high_x, others[2]) - np.maximum(low_x, others[0])
    height = np.minimum(high_y, others[3]) - np.maximum(low_y, others[1])
    return np.maximum(width, 0, out=width) * np.maximum(height, 0, out=height)


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (M, N) of boxes (M, 4) and (N, 4)."""
    common = common_areas(a, b)
    union = areas(a)[:, None] + areas(b) - common
    return np.divide(common, union, out=np.zeros_like(common), where=common > 0)


def paired_overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (N) of each box of (N, 4) with the one in the same place of another (N, 4)."""
    (low, high), (other_low, other_high) = split(a), split(b)
    common = np.maximum(np.minimum(high, other_high) - np.maximum(low, other_low), 0).prod(-1)
    return np.divide(common, areas(a) + areas(b) - common, out=np.zeros_like(common), where=common > 0)


def coverages(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What part (M, N) of each box of (M, 4) lies in each of (N, 4)."""
    common = common_areas(a, b)
    return np.divide(common, areas(a)[:, None], out=np.zeros_like(common), where=common > 0)


def relative_to(boxes: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) in coordinates that are 0 and 1 at the borders of a `window` (4)."""
    low, high = split(window)
    return (boxes - np.concatenate([low, low])) / np.concatenate([high - low, high - low])
