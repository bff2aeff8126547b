"""Boxes (xmin, ymin, xmax, ymax) as float32 arrays (…, 4): codes relative to default boxes, overlaps, suppression."""

import numpy as np

from caffe.proto.caffe_pb2 import PriorBoxParameter

CORNER, CENTER_SIZE, CORNER_SIZE = (
    PriorBoxParameter.CORNER,
    PriorBoxParameter.CENTER_SIZE,
    PriorBoxParameter.CORNER_SIZE,
)


def split(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(minimum corners (…, 2), maximum corners (…, 2))."""
    return boxes[..., :2], boxes[..., 2:]


def decode(code: np.ndarray, priors: np.ndarray, variances: np.ndarray, kind: int) -> np.ndarray:
    """The boxes (…, P, 4) that codes (…, P, 4) of a `code_type` mean by default boxes and variances (P, 4)."""
    low, high = split(priors)
    scaled = code * variances
    if kind == CORNER:
        return priors + scaled
    size = high - low
    if kind == CORNER_SIZE:
        return priors + scaled * np.concatenate([size, size], -1)
    centre = scaled[..., :2] * size + (low + high) / 2
    half = np.exp(scaled[..., 2:]) * size / 2
    return np.concatenate([centre - half, centre + half], -1)


def encode(boxes: np.ndarray, priors: np.ndarray, variances: np.ndarray, kind: int) -> np.ndarray:
    """The codes (M, 4) that `decode` turns into boxes (M, 4) with these default boxes and variances (M, 4)."""
    low, high = split(priors)
    if kind == CORNER:
        return (boxes - priors) / variances
    size = high - low
    if kind == CORNER_SIZE:
        return (boxes - priors) / np.concatenate([size, size], -1) / variances
    first, last = split(boxes)
    moved = ((first + last) / 2 - (low + high) / 2) / size
    return np.concatenate([moved, np.log((last - first) / size)], -1) / variances


def areas(boxes: np.ndarray) -> np.ndarray:
    """The area of each box, 0 where a maximum lies below its minimum."""
    low, high = split(boxes)
    return np.prod(high - low, -1) * (high >= low).all(-1)


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (M, N) of boxes (M, 4) and (N, 4)."""
    a, b = a[:, None], b[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.where((sides > 0).all(-1), np.prod(sides, -1), 0)
    union = areas(a) + areas(b) - common
    return np.divide(common, union, out=np.zeros_like(common), where=common > 0)


def suppressed(boxes: np.ndarray, threshold: float, eta: float = 1.0) -> list[int]:
    """Indices of the boxes (N, 4), best first, that overlap none kept before by more than `threshold`.

    With `eta` below 1 the threshold is multiplied by it after each box kept, down to 0.5.
    """
    kept: list[int] = []
    worst = np.zeros(len(boxes), boxes.dtype)
    for i in range(len(boxes)):
        if worst[i] > threshold:
            continue
        kept.append(i)
        worst[i + 1 :] = np.maximum(worst[i + 1 :], overlaps(boxes[i : i + 1], boxes[i + 1 :])[0])
        if eta < 1 and threshold > 0.5:
            threshold *= eta
    return kept
