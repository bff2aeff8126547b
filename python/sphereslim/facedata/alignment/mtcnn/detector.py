"""All faces in pictures: proposals, refined twice, with five landmarks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sphereslim.facedata.alignment.mtcnn.boxes import regress, square, suppress
from sphereslim.facedata.alignment.mtcnn.networks import Networks, cut
from sphereslim.facedata.alignment.mtcnn.proposals import propose
from sphereslim.facedata.alignment.mtcnn.settings import Settings

AT_ONCE = 256  # boxes in one run of det2 or det3
HALF_PIXEL = 0.5  # from edges, where pixel 0 spans 0..1, to centres


@dataclass(frozen=True)
class Faces:
    """Faces of one picture: `boxes` (N, 4), `scores` (N,) 0..1, `points` (N, 5, 2), best first.

    Points are x y with integers at pixel centres, 0-based: left eye, right eye (as seen), nose, mouth corners.
    """

    boxes: np.ndarray
    scores: np.ndarray
    points: np.ndarray


def detect(networks: Networks, images: Sequence[np.ndarray], settings: Settings = Settings()) -> list[Faces]:  # noqa: B008  (frozen)
    """The Faces of each uint8 BGR picture; pictures of one size go through the first stage together."""
    proposed: dict[int, np.ndarray] = {}
    for indices in _by_size(images):
        for k, (boxes, _) in zip(indices, propose(networks, [images[k] for k in indices], settings)):
            proposed[k] = square(boxes)
    refined = _refine(networks, images, [proposed[k] for k in range(len(images))], settings.thresholds[1])
    return _finish(networks, images, [square(boxes) for boxes in refined], settings.thresholds[2])


def nearest_centre(faces: Faces, shape: tuple[int, ...]) -> int:
    """Index of the face whose box's middle is nearest to that of a picture of `shape` (height, width, …)."""
    middle = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    return int(np.argmin(np.linalg.norm(middle - (shape[1] / 2, shape[0] / 2), axis=1)))


def _by_size(images: Sequence[np.ndarray]) -> Iterable[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for k, image in enumerate(images):
        groups.setdefault(image.shape, []).append(k)
    return groups.values()


def _refine(
    networks: Networks, images: Sequence[np.ndarray], squares: Sequence[np.ndarray], threshold: float
) -> list[np.ndarray]:
    """Boxes of each picture that pass det2."""
    refined = []
    for boxes, maps in zip(squares, _run_on_boxes(networks, 'det2', 24, images, squares)):
        passed = maps['prob1'][:, 1] >= threshold
        boxes, scores, corrections = boxes[passed], maps['prob1'][passed, 1], maps['conv5-2'][passed]
        kept = suppress(boxes, scores, 0.7)
        refined.append(regress(boxes[kept], corrections[kept]))
    return refined


def _finish(
    networks: Networks, images: Sequence[np.ndarray], squares: Sequence[np.ndarray], threshold: float
) -> list[Faces]:
    """The Faces of each picture that pass det3."""
    finished = []
    for boxes, maps in zip(squares, _run_on_boxes(networks, 'det3', 48, images, squares)):
        passed = maps['prob1'][:, 1] >= threshold
        boxes, scores, maps = boxes[passed], maps['prob1'][passed, 1], {k: v[passed] for k, v in maps.items()}
        points = _points(boxes, maps['conv6-3'])
        boxes = regress(boxes, maps['conv6-2'])
        kept = suppress(boxes, scores, 0.7, of_smaller=True)
        finished.append(Faces(boxes[kept], scores[kept], points[kept]))
    return finished


def _points(boxes: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Landmarks (N, 5, 2) from five x and five y in widths and heights of the box."""
    size = boxes[:, None, 2:] - boxes[:, None, :2]
    return boxes[:, None, :2] + shares.reshape(-1, 2, 5).transpose(0, 2, 1) * size - HALF_PIXEL


def _run_on_boxes(
    networks: Networks, name: str, size: int, images: Sequence[np.ndarray], squares: Sequence[np.ndarray]
) -> list[dict[str, np.ndarray]]:
    """Per picture the outputs of a network for its boxes; boxes of all pictures share the runs."""
    parts = [cut(image, box, size) for image, boxes in zip(images, squares) for box in boxes]
    parts.append(np.zeros((size, size, 3), np.uint8))  # so that there is a run, and shapes, even without any box
    runs = [networks.run(name, np.stack(parts[start : start + AT_ONCE])) for start in range(0, len(parts), AT_ONCE)]
    outputs = {blob: np.concatenate([run[blob] for run in runs])[:-1] for blob in runs[0]}
    ends = np.cumsum([len(boxes) for boxes in squares])[:-1]
    split = {blob: np.split(values, ends) for blob, values in outputs.items()}
    return [{blob: values[k] for blob, values in split.items()} for k in range(len(images))]
