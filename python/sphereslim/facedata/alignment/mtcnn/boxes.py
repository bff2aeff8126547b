"""Boxes around faces: arrays (N, 4) of x1 y1 x2 y2, edges in pixels, so that a box is x2 - x1 wide.

The picture's first pixel lies between the edges 0 and 1.
"""

import numpy as np


def suppress(boxes: np.ndarray, scores: np.ndarray, limit: float, of_smaller: bool = False) -> np.ndarray:
    """Indices of the boxes that stay, best first: greedily, none overlaps a better one by more than `limit`.

    The overlap is the intersection's share of the union, or of the smaller box's area.
    """
    left, order = [], np.argsort(-scores, kind='stable')
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    while len(order):
        best, rest = order[0], order[1:]
        left.append(best)
        sides = np.minimum(boxes[rest, 2:], boxes[best, 2:]) - np.maximum(boxes[rest, :2], boxes[best, :2])
        shared = np.prod(np.maximum(sides, 0), axis=1)
        least = np.minimum(areas[rest], areas[best])
        whole = least if of_smaller else areas[rest] + areas[best] - shared
        order = rest[shared <= limit * whole]
    return np.array(left, dtype=int)


def regress(boxes: np.ndarray, corrections: np.ndarray) -> np.ndarray:
    """Boxes with each edge moved by its correction (N, 4) in widths and heights of the box."""
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + corrections * np.concatenate([size, size], 1)


def square(boxes: np.ndarray) -> np.ndarray:
    """Squares of the longer side around the same middle, on whole pixels."""
    side = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True)
    start = np.round((boxes[:, :2] + boxes[:, 2:] - side) / 2)
    return np.concatenate([start, start + np.maximum(np.round(side), 1)], 1)
