"""Boxes (xmin, ymin, xmax, ymax) as float32 arrays (…, 4): codes relative to default boxes, suppression."""

import numpy as np

from caffe.data.boxes import overlaps, split
from caffe.proto.caffe_pb2 import PriorBoxParameter

CORNER, CENTER_SIZE, CORNER_SIZE = (
    PriorBoxParameter.CORNER,
    PriorBoxParameter.CENTER_SIZE,
    PriorBoxParameter.CORNER_SIZE,
)

# boxes whose overlaps with those behind them are computed at once
BLOCK = 256


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


def suppressed(boxes: np.ndarray, threshold: float, eta: float = 1.0) -> list[int]:
    """Indices of the boxes (N, 4), best first, that overlap none kept before by more than `threshold`.

    With `eta` below 1 the threshold is multiplied by it after each box kept, down to 0.5.
    """
    kept: list[int] = []
    worst = np.zeros(len(boxes), boxes.dtype)
    for start in range(0, len(boxes), BLOCK):
        end = min(start + BLOCK, len(boxes))
        # thresholds only fall: what exceeds the present one is out
        left = start + np.flatnonzero(worst[start:end] <= threshold)
        for i, row in zip(left.tolist(), overlaps(boxes[left], boxes[start:])):
            if worst[i] > threshold:
                continue
            kept.append(i)
            np.maximum(worst[i + 1 :], row[i + 1 - start :], out=worst[i + 1 :])
            if eta < 1 and threshold > 0.5:
                threshold *= eta
    return kept
