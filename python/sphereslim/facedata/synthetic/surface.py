"""The shape of a head as heights z over the frontal map, and the five landmarks on it."""

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from sphereslim.facedata.synthetic import canvas, features
from sphereslim.facedata.synthetic.identity import Head, Nose, Person
from sphereslim.facedata.synthetic.view import Expression

OUTSIDE = -3.0  # height where there is no head
ANGLES = np.radians([0, 25, 55, 90, 120, 150, 180])


def heights(person: Person, expression: Expression, hair: np.ndarray) -> np.ndarray:
    """Heights in head units of the face's front, ROWS×COLUMNS float32, OUTSIDE beyond its outline.

    `hair` is the coverage of the map by hair, which adds its volume.
    """
    x, y = canvas.axes()
    q = np.hypot(x, y) / _outline(person.head, expression.jaw)
    dome = np.sqrt(np.maximum(1 - q**person.head.roundness, 0))
    z = person.head.depth * dome + person.head.depth * 0.12 * y
    z += _bones(person, expression) + _nose(person.nose) + _mouth(person, expression)
    z += 0.6 * person.hair.volume * cv2.GaussianBlur(hair, (0, 0), 2.5)
    return np.where(q < 1, z, OUTSIDE).astype(np.float32)


def landmarks(person: Person, expression: Expression, z: np.ndarray) -> np.ndarray:
    """The five landmarks as 5×3 points on the surface with heights `z`."""
    flat = features.landmarks(person, expression)
    columns, rows = np.round(canvas.to_map(flat)).astype(int).T
    return np.column_stack([flat, z[rows, columns]])


def _outline(head: Head, jaw: float) -> np.ndarray:
    """Distance of the outline from the middle in the direction of each pixel of the map."""
    x, y = canvas.axes()
    radii = np.array(head.radii) + jaw * np.array([0.08, 0.06, 0.02, 0, 0, 0, 0])
    angles = np.concatenate([-ANGLES[2:0:-1], ANGLES, 2 * np.pi - ANGLES[-2:-4:-1]])
    curve = PchipInterpolator(angles, np.concatenate([radii[2:0:-1], radii, radii[-2:-4:-1]]))
    table = np.linspace(0, np.pi, 181)
    return np.interp(np.arctan2(np.abs(x), y), table, curve(table)).astype(np.float32)


def _bump(x0: float, y0: float, width: float, height: float, amount: float) -> np.ndarray:
    """A Gaussian hill; product of two one-dimensional ones."""
    x, y = canvas.axes()
    return amount * np.exp(-(((x - x0) / width) ** 2)) * np.exp(-(((y - y0) / height) ** 2))


def _bones(person: Person, expression: Expression) -> np.ndarray:
    head, eyes = person.head, person.eyes
    brow_y = eyes.y - person.brows.lift
    z = _bump(0, head.radii[0] - 0.14 + 0.06 * expression.jaw, 0.2, 0.14, head.chin)
    for side in features.SIDES:
        z = z + _bump(side * eyes.spacing, eyes.y, 0.2, 0.13, -eyes.depth)
        z = z + _bump(side * eyes.spacing, eyes.y, 0.9 * eyes.width, 0.08, 0.05)
        z = z + _bump(side * eyes.spacing, brow_y, 0.25, 0.08, head.brow_ridge)
        z = z + _bump(
            side * 0.5, 0.2 - 0.06 * expression.smile, 0.2, 0.17, head.cheekbones + 0.05 * max(expression.smile, 0)
        )
    return z


def _nose(nose: Nose) -> np.ndarray:
    x, y = canvas.axes()
    top = -0.15
    along = np.clip((y - top) / (nose.tip_y - top), 0, 1)
    ridge = np.interp(y, [top - 0.2, top, nose.tip_y - 0.03, nose.tip_y + 0.09], [0, nose.bridge, nose.tip, 0]).astype(
        np.float32
    )
    width = nose.bridge_width + along * (nose.tip_radius - nose.bridge_width)
    z = ridge * np.exp(-(((x - nose.bend * along) / width) ** 2))
    for side in features.SIDES:
        z = z + _bump(nose.bend + side * 0.7 * nose.width, nose.tip_y + 0.02, 0.065, 0.06, 0.4 * nose.tip)
    return z


def _mouth(person: Person, expression: Expression) -> np.ndarray:
    shape = person.mouth
    open_by = 0.17 * expression.jaw
    z = _bump(0, shape.y, 1.2 * shape.width, 0.2, 0.06)
    z = z + _bump(0, shape.y - 0.5 * shape.upper, 0.7 * shape.width, 0.5 * shape.upper + 0.01, 0.035)
    z = z + _bump(0, shape.y + open_by + 0.5 * shape.lower, 0.6 * shape.width, 0.5 * shape.lower + 0.01, 0.045)
    return z + _bump(0, shape.y + open_by + shape.lower + 0.06, 0.6 * shape.width, 0.04, -0.03)
