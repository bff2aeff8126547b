"""Seeing a head: which point of the surface every pixel shows, under parallel rays."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sphereslim.facedata.synthetic import canvas
from sphereslim.facedata.synthetic.view import Pose

NEAR, FAR, STEP = 1.45, -0.5, 0.075  # depths searched, in head units
REFINEMENTS = 5
REACH = 1.35  # no part of a head is farther from its middle
Box = tuple[slice, slice]  # of a picture's rows and columns


@dataclass(frozen=True)
class Sight:
    """What the pixels of a box of a picture see of one body: arrays of the box's rows and columns, float32."""

    box: Box
    cover: np.ndarray  # 0..1
    x: np.ndarray  # where on the frontal map
    y: np.ndarray
    normal: np.ndarray  # rows×columns×3, picture axes


def see_surface(z: np.ndarray, pose: Pose, size: int) -> Sight:
    """Sight of the height map `z` (head units) in a picture of `size` pixels under `pose`."""
    rotation = pose.rotation().astype(np.float32)
    box, u, v = _plane(pose, size)
    base = [rotation[0, axis] * u + rotation[1, axis] * v for axis in range(3)]
    ray = rotation[2]
    depth, hit = _march(z, base, ray)
    x, y = base[0] + ray[0] * depth, base[1] + ray[1] * depth
    cover = cv2.GaussianBlur(hit.astype(np.float32), (0, 0), 0.6)
    return Sight(box, cover, x, y, _map_normals(z, x, y) @ rotation.T)


def see_ellipsoid(centre: Sequence[float], radii: Sequence[float], pose: Pose, size: int) -> Sight:
    """Sight of an ellipsoid given by its centre and half axes along the head's axes."""
    rotation = pose.rotation()
    box, u, v = _plane(pose, size)
    middle = rotation @ np.array(centre)
    shape = rotation @ np.diag(1 / np.square(radii)) @ rotation.T
    u, v = u - middle[0], v - middle[1]
    linear = shape[0, 2] * u + shape[1, 2] * v
    rest = shape[0, 0] * u * u + 2 * shape[0, 1] * u * v + shape[1, 1] * v * v - 1
    square = linear**2 - shape[2, 2] * rest
    depth = (-linear + np.sqrt(np.maximum(square, 0))) / shape[2, 2]
    point = np.stack([u, v, depth], -1).astype(np.float32)
    normal = point @ shape.astype(np.float32)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-6
    local = point @ rotation.astype(np.float32) + np.array(centre, np.float32)
    cover = cv2.GaussianBlur((square > 0).astype(np.float32), (0, 0), 0.6)
    return Sight(box, cover, local[..., 0], local[..., 1], normal)


def sample(image: np.ndarray, sight: Sight) -> np.ndarray:
    """Values of a map (rows×columns or with channels) at the points that `sight` shows."""
    return _sample(image, sight.x, sight.y)


def _plane(pose: Pose, size: int) -> tuple[Box, np.ndarray, np.ndarray]:
    """The box of the picture that can show the head, and its pixels' coordinates in head units."""
    spans = []
    for centre in pose.centre:
        low, high = (np.clip(round(centre + end * REACH * pose.scale), 0, size) for end in (-1, 1))
        spans.append(np.arange(low, high, dtype=np.float32))
    columns, rows = spans
    u, v = ((span - np.float32(middle)) / np.float32(pose.scale) for span, middle in zip(spans, pose.centre))
    u, v = np.meshgrid(u, v)
    return (_span(rows), _span(columns)), u, v


def _span(places: np.ndarray) -> slice:
    return slice(int(places[0]), int(places[-1]) + 1)


def _pixels(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (x - canvas.LEFT) * canvas.DENSITY, (y - canvas.TOP) * canvas.DENSITY


def _sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return cv2.remap(image, *_pixels(x, y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _march(z: np.ndarray, base: Sequence[np.ndarray], ray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth along each ray of the first crossing of the surface from the viewer's side, and whether there is one."""
    start = (*_pixels(base[0], base[1]), base[2])
    slope = (ray[0] * canvas.DENSITY, ray[1] * canvas.DENSITY, ray[2])

    def below(depth: np.ndarray | np.float32) -> np.ndarray:
        column, row, height = (origin + gain * depth for origin, gain in zip(start, slope))
        return height <= cv2.remap(z, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    depth = np.full(base[0].shape, FAR, np.float32)
    hit = np.zeros(base[0].shape, bool)
    for t in np.arange(NEAR, FAR, -STEP, dtype=np.float32):
        fresh = below(t) & ~hit
        depth[fresh] = t
        hit |= fresh
    for step in np.float32(STEP) / 2 ** np.arange(1, REFINEMENTS + 1, dtype=np.float32):
        depth += step * below(depth + step)
    return depth, hit


def _map_normals(z: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Beyond the outline z drops without end; a low floor there keeps the normals at the outline sideways, not noise.
    smooth = cv2.GaussianBlur(np.maximum(z, -0.3), (0, 0), 1.2)
    slopes = [
        _sample(cv2.Sobel(smooth, cv2.CV_32F, *order, scale=canvas.DENSITY / 8), x, y) for order in ((1, 0), (0, 1))
    ]
    normal = np.stack([-slopes[0], -slopes[1], np.ones_like(x)], -1)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)
