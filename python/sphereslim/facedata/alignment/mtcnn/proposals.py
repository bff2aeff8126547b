"""First stage of MTCNN: det1 slides over a pyramid of each picture and proposes boxes."""

from collections.abc import Sequence

import numpy as np

from sphereslim.facedata.alignment.mtcnn.boxes import regress, suppress
from sphereslim.facedata.alignment.mtcnn.networks import Networks, resize
from sphereslim.facedata.alignment.mtcnn.settings import Settings

CELL, STRIDE = 12, 2  # pixels that det1 sees at once, and from one place to the next
MOST_PIXELS = 1 << 22  # in one run of det1, which bounds its memory


def scales(height: int, width: int, min_size: float, factor: float) -> list[float]:
    """The pyramid's scales: from faces of `min_size` pixels filling det1's window to those as large as the picture."""
    found, scale = [], CELL / min_size
    while min(height, width) * scale >= CELL:
        found.append(scale)
        scale *= factor
    return found


def propose(
    networks: Networks, images: Sequence[np.ndarray], settings: Settings
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each picture (all of one size, BGR): its boxes (N, 4) after regression and their scores (N,)."""
    height, width = images[0].shape[:2]
    found: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in images]
    for scale in scales(height, width, settings.min_size, settings.factor):
        size = int(np.ceil(width * scale)), int(np.ceil(height * scale))
        at_once = max(1, MOST_PIXELS // (size[0] * size[1]))
        for start in range(0, len(images), at_once):
            level = np.stack([resize(image, *size) for image in images[start : start + at_once]])
            maps = networks.run('det1', level)
            for k in range(len(level)):
                found[start + k].append(_in_level(maps['prob1'][k, 1], maps['conv4-2'][k], scale, settings))
    return [_merge(levels) for levels in found]


def _in_level(
    scores: np.ndarray, corrections: np.ndarray, scale: float, settings: Settings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(boxes, scores, corrections) of the places of one map (its first axis is x) that pass, suppressed."""
    places = np.argwhere(scores >= settings.thresholds[0])
    passed = scores[tuple(places.T)]
    corner = places * STRIDE
    boxes = np.concatenate([corner, corner + CELL], 1) / scale
    kept = suppress(boxes, passed, 0.5)
    return boxes[kept], passed[kept], corrections[:, places[:, 0], places[:, 1]].T[kept]


def _merge(levels: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    if not levels:
        return np.empty((0, 4)), np.empty(0)
    boxes, scores, corrections = (np.concatenate(part) for part in zip(*levels))
    kept = suppress(boxes, scores, 0.7)
    return regress(boxes[kept], corrections[kept]), scores[kept]
