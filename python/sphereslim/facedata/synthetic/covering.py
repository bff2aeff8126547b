"""What comes between the face and the camera: glasses, a cap, a lock of hair, a hand, a scarf."""

from collections.abc import Iterable

import cv2
import numpy as np

from sphereslim.facedata.synthetic import canvas, features
from sphereslim.facedata.synthetic.backdrop import CAP_EDGE, muted
from sphereslim.facedata.synthetic.identity import Person
from sphereslim.facedata.synthetic.light import flat
from sphereslim.facedata.synthetic.view import View


def glasses(image: np.ndarray, person: Person, view: View, z: np.ndarray) -> None:
    """Glasses over the eyes, in place; `z` are the heights of the face."""
    half_width, half_height, squareness, grey = person.frame
    pose, front = view.pose, _height(z, 0, person.eyes.y) + 0.1
    tone, thick = (grey,) * 3, max(1, round(0.03 * pose.scale))
    for side in features.SIDES:
        rim = canvas.ellipse(
            (side * person.eyes.spacing, person.eyes.y + 0.03), (half_width, half_height), 0, squareness
        )
        lens = pose.project(np.column_stack([rim, front - 0.25 * rim[:, 0] ** 2]))
        canvas.fill(
            image,
            lens,
            (0.04, 0.04, 0.05) if view.glasses == 'dark' else (0.9, 0.9, 0.9),
            0.9 if view.glasses == 'dark' else 0.1,
        )
        _line(image, lens, tone, thick, closed=True)
        outer = side * (person.eyes.spacing + half_width)
        arm = [(outer, person.eyes.y, front - 0.25 * outer**2), (side * person.head.radii[4], person.eyes.y, 0.1)]
        _line(image, pose.project(arm), tone, thick)
    inner = person.eyes.spacing - half_width
    _line(image, pose.project([(-inner, person.eyes.y, front), (inner, person.eyes.y, front)]), tone, thick)


def cap_cover() -> np.ndarray:
    """Coverage of the frontal map by the crown of a cap."""
    x, y = canvas.axes()
    return np.clip((CAP_EDGE - 0.06 + 0.12 * x**2 - y) / 0.02, 0, 1).astype(np.float32)


def cap(image: np.ndarray, rng: np.random.Generator, person: Person, view: View, z: np.ndarray) -> None:
    """The brim of a cap, in place."""
    colour = cap_colour(view)
    t = np.linspace(-1, 1, 15)
    x = 0.72 * t
    inner = np.stack([x, CAP_EDGE + 0.1 * t**2, 0.9 * person.head.depth * np.sqrt(1 - 0.85 * t**2)], 1)
    outer = inner + np.stack([0.1 * t, np.full(15, 0.08), rng.uniform(0.25, 0.45) * (1 - t**4)], 1)
    canvas.fill(image, view.pose.project(np.concatenate([inner, outer[::-1]])), flat(colour, view.light) * 0.7, 1, 0.7)


def cap_colour(view: View) -> np.ndarray:
    """Reflectance of the cap in this view."""
    return muted(np.random.default_rng((view.seed, 7))).astype(np.float32)


def lock(image: np.ndarray, rng: np.random.Generator, person: Person, view: View, z: np.ndarray) -> None:
    """A few strands of hair falling over the forehead and one eye, in place."""
    side, tone = rng.choice(features.SIDES), flat(person.hair.colour, view.light)
    for _ in range(rng.integers(3, 9)):
        start, end = rng.uniform(-0.2, 0.5), rng.uniform(0.0, 0.55)
        t = np.linspace(0, 1, 12)
        x = side * (start + (end - start + 0.15) * t**1.5)
        y = -0.75 + t * rng.uniform(0.6, 1.1)
        strand = np.stack([x, y, [_height(z, *point) + 0.04 for point in zip(x, y)]], 1)
        _line(
            image,
            view.pose.project(strand),
            tone * rng.uniform(0.7, 1.1),
            max(1, round(rng.uniform(0.03, 0.09) * view.pose.scale)),
        )


def hand(image: np.ndarray, rng: np.random.Generator, person: Person, view: View, z: np.ndarray) -> None:
    """Fingers laid on the cheek or chin from one side, in place."""
    side, tone = rng.choice(features.SIDES), flat(person.skin.colour, view.light)
    tip = np.array([side * rng.uniform(0.1, 0.45), rng.uniform(0.25, 0.75)])
    heading = np.array([side * rng.uniform(0.5, 1.0), rng.uniform(0.5, 1.0)])
    across = np.array([-heading[1], heading[0]]) / np.linalg.norm(heading)
    for k in range(4):
        finger = tip + across * 0.15 * (k - 1.5) + heading * 0.08 * abs(k - 1.3)
        flat_points = np.stack([finger, finger + 0.55 * heading, finger + 1.6 * heading])
        points = view.pose.project(np.column_stack([flat_points, [_height(z, *finger) + 0.1] * 3]))
        _line(image, points, tone * 0.6, round(0.17 * view.pose.scale))
        _line(image, points, tone * rng.uniform(0.85, 1.0), round(0.13 * view.pose.scale))


def scarf(image: np.ndarray, rng: np.random.Generator, person: Person, view: View, z: np.ndarray) -> None:
    """A scarf drawn up over the chin, sometimes over the mouth, in place."""
    colour, top = flat(muted(rng), view.light), rng.uniform(0.5, 0.85)
    t = np.linspace(-1, 1, 15)
    depth = 0.95 * person.head.depth * np.sqrt(1 - 0.95 * t**2)
    upper = np.stack([0.95 * t, top + rng.uniform(-0.1, 0.2) * t**2, depth], 1)
    lower = np.stack([1.3 * t, np.full(15, 1.7), depth], 1)
    pixels = view.pose.project(np.concatenate([upper, lower[::-1]]))
    canvas.fill(image, pixels, colour, 1, 0.8)
    for shift in np.linspace(0.12, 0.8, 5):
        _line(image, view.pose.project(upper + (0, shift, 0)), colour * rng.uniform(0.5, 0.85), int(rng.integers(1, 5)))


OVER_FACE = {'cap': cap, 'lock': lock, 'hand': hand, 'scarf': scarf}


def _height(z: np.ndarray, x: float, y: float) -> float:
    column, row = np.round(canvas.to_map((x, y))).astype(int)
    return max(float(z[np.clip(row, 0, canvas.ROWS - 1), np.clip(column, 0, canvas.COLUMNS - 1)]), 0.0)


def _line(image: np.ndarray, points: np.ndarray, colour: Iterable[float], thickness: int, closed: bool = False) -> None:
    fixed = np.round(np.asarray(points) * (1 << canvas.SHIFT)).astype(np.int32)
    cv2.polylines(image, [fixed], closed, [float(c) for c in colour], int(thickness), cv2.LINE_AA, canvas.SHIFT)
