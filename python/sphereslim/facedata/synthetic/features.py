"""Where eyes, brows and mouth of a person lie under an expression, as curves on the frontal map (head units)."""

from dataclasses import dataclass

import numpy as np

from sphereslim.facedata.synthetic.identity import Person
from sphereslim.facedata.synthetic.view import Expression

SIDES = (-1, 1)  # left and right as seen in the picture


@dataclass(frozen=True)
class EyeShape:
    """Curves of an eye, each N×2, and points; the outline is that of the opening between the lids."""

    centre: np.ndarray
    opening: np.ndarray  # closed outline
    upper: np.ndarray  # the upper lid's edge, inner to outer
    iris: np.ndarray  # its centre


@dataclass(frozen=True)
class MouthShape:
    """Curves of a mouth, each N×2."""

    corners: np.ndarray  # left, right
    upper_lip: np.ndarray  # closed outlines
    lower_lip: np.ndarray
    gap: np.ndarray
    line: np.ndarray  # where the lips meet


def eye(person: Person, expression: Expression, side: int) -> EyeShape:
    """EyeShape of the eye on `side` (-1 left, 1 right in the picture)."""
    eyes = person.eyes
    centre = np.array([side * eyes.spacing, eyes.y])
    t = np.linspace(-1, 1, 17)
    bow = 1 - np.abs(t) ** 2.2
    lift = expression.lids * eyes.height
    upper = np.stack([t * eyes.width, -bow * lift - np.tan(eyes.tilt) * t * eyes.width], 1)
    lower = np.stack(
        [
            t * eyes.width,
            bow * 0.55 * eyes.height * (1 - 0.4 * max(expression.smile, 0)) - np.tan(eyes.tilt) * t * eyes.width,
        ],
        1,
    )
    mirror = np.array([side, 1])
    gaze = np.array(expression.gaze) * (0.3 * eyes.width, 0.2 * eyes.height)
    return EyeShape(
        centre,
        np.concatenate([upper, lower[::-1]]) * mirror + centre,
        upper * mirror + centre,
        centre + gaze - (0, 0.2 * lift),
    )


def brow(person: Person, expression: Expression, side: int) -> np.ndarray:
    """Closed outline of the eyebrow on `side`."""
    brows, eyes = person.brows, person.eyes
    t = np.linspace(0, 1, 12)
    x = brows.gap + t * brows.length
    lift = brows.lift + 0.035 * expression.brows
    y = eyes.y - lift - brows.arch * np.sin(np.pi * t * 0.85) - brows.slant * (t - 0.5) * brows.length
    half = brows.thickness * (1 - 0.75 * t**2) * (0.6 + 0.4 * np.minimum(1, t / 0.15))
    upper, lower = np.stack([x, y - half], 1), np.stack([x, y + half], 1)
    return np.concatenate([upper, lower[::-1]]) * (side, 1)


def mouth(person: Person, expression: Expression) -> MouthShape:
    """MouthShape of the person."""
    shape = person.mouth
    width = shape.width * (1 + 0.2 * expression.smile - 0.12 * expression.jaw)
    corner_y = shape.y + shape.curve - 0.06 * expression.smile + 0.03 * expression.jaw
    t = np.linspace(-1, 1, 25)
    bow = 1 - t**2
    line = shape.y + (corner_y - shape.y) * t**2
    opened = line + 0.17 * expression.jaw * bow
    top = line - shape.upper * bow**0.8 + shape.bow * np.exp(-((t / 0.18) ** 2))
    bottom = opened + shape.lower * bow**0.7
    x = t * width
    curve = {
        name: np.stack([x, y], 1) for name, y in {'line': line, 'opened': opened, 'top': top, 'bottom': bottom}.items()
    }
    return MouthShape(
        corners=curve['line'][[0, -1]],
        upper_lip=np.concatenate([curve['top'], curve['line'][::-1]]),
        lower_lip=np.concatenate([curve['opened'], curve['bottom'][::-1]]),
        gap=np.concatenate([curve['line'], curve['opened'][::-1]]),
        line=curve['line'],
    )


def beard_area(person: Person, expression: Expression) -> list[tuple[np.ndarray, float]]:
    """Closed outlines of where the person's kind of beard grows, with its strength 0..1; empty for none."""
    lips, reach = mouth(person, expression), person.head.radii[0] + 0.15
    top, width = person.nose.tip_y + 0.1, person.mouth.width
    moustache = np.array(
        [
            (-1.15 * width, lips.corners[0, 1] + 0.03),
            (-0.5 * width, top),
            (0.5 * width, top),
            (1.15 * width, lips.corners[1, 1] + 0.03),
            (0, person.mouth.y),
        ]
    )
    goatee = np.array(
        [(-1.1 * width, person.mouth.y), (1.1 * width, person.mouth.y), (0.9 * width, reach), (-0.9 * width, reach)]
    )
    jaw = np.array(
        [
            (-0.95, 0.0),
            (-0.66, 0.1),
            (-0.5, 0.45),
            (-0.4, top + 0.02),
            (0.4, top + 0.02),
            (0.5, 0.45),
            (0.66, 0.1),
            (0.95, 0.0),
            (0.95, reach),
            (-0.95, reach),
        ]
    )
    return {
        'none': [],
        'stubble': [(jaw, 0.35)],
        'moustache': [(moustache, 0.85)],
        'goatee': [(moustache, 0.8), (goatee, 0.85)],
        'full': [(jaw, 0.9)],
    }[person.beard]


def landmarks(person: Person, expression: Expression) -> np.ndarray:
    """x, y of left eye, right eye, nose tip, left and right mouth corner on the map, 5×2."""
    eyes = [(side * person.eyes.spacing, person.eyes.y) for side in SIDES]
    return np.array([*eyes, (person.nose.bend, person.nose.tip_y), *mouth(person, expression).corners])
