"""The colours painted on a head: reflectance (BGR, 0..1) over the frontal map."""

import numpy as np
import numpy.typing as npt

from sphereslim.facedata.synthetic import canvas, features, hair
from sphereslim.facedata.synthetic.features import EyeShape
from sphereslim.facedata.synthetic.identity import Person
from sphereslim.facedata.synthetic.view import Expression

SHAPE = (canvas.ROWS, canvas.COLUMNS)


def paint(person: Person, expression: Expression, hair_cover: np.ndarray) -> np.ndarray:
    """ROWS×COLUMNS×3 float32 reflectance of the person's face with hair over `hair_cover`."""
    rng = np.random.default_rng((person.seed, 0))
    image = _skin(person, rng)
    _nostrils(image, person)
    _folds(image, person, expression)
    _mouth(image, person, expression)
    _beard(image, person, expression, rng)
    for side in features.SIDES:
        _eye(image, person, features.eye(person, expression, side))
        _fill(image, features.brow(person, expression, side), person.brows.colour, 0.9, 0.012)
    canvas.blend(image, hair_cover, np.array(person.hair.colour, np.float32) * hair.strands(person)[..., None])
    return np.clip(image, 0.01, 1)


def _fill(
    image: np.ndarray,
    points: npt.ArrayLike,
    colour: npt.ArrayLike,
    opacity: float = 1.0,
    soft: float = 0.004,
    within: np.ndarray | None = None,
) -> None:
    """Paint a polygon given in head units."""
    canvas.fill(image, canvas.to_map(points), colour, opacity, soft * canvas.DENSITY, within)


def _skin(person: Person, rng: np.random.Generator) -> np.ndarray:
    skin = person.skin
    image = np.empty((*SHAPE, 3), np.float32)
    image[:] = skin.colour
    image *= 1 + 0.025 * canvas.noise(rng, SHAPE, (14, 13))[..., None]
    for side in features.SIDES:
        _fill(
            image,
            canvas.ellipse((side * 0.45, 0.25), (0.2, 0.16)),
            np.array(skin.colour) * (0.75, 0.72, 1),
            skin.blush,
            0.09,
        )
    for x, y in rng.normal((0, 0.12), (0.35, 0.14), (skin.freckles, 2)):
        _fill(image, canvas.ellipse((x, y), (0.014, 0.014), count=8), np.array(skin.colour) * 0.62, 0.7)
    for x, y, radius in skin.moles:
        _fill(image, canvas.ellipse((x, y), (radius, radius), count=12), np.array(skin.colour) * 0.3, 0.9)
    return image


def _nostrils(image: np.ndarray, person: Person) -> None:
    nose, dark = person.nose, np.array(person.skin.colour) * 0.25
    _fill(image, canvas.ellipse((nose.bend, nose.tip_y + 0.09), (nose.width, 0.03)), dark * 2.6, 0.5, 0.03)
    for side in features.SIDES:
        centre = (nose.bend + side * 0.5 * nose.width, nose.tip_y + 0.07)
        _fill(image, canvas.ellipse(centre, (0.3 * nose.width, 0.022), side * 0.3), dark, 0.85, 0.008)
        wing = canvas.ellipse((nose.bend + side * nose.width, nose.tip_y + 0.02), (0.012, 0.06))
        _fill(image, wing, dark * 2.2, 0.6, 0.012)


def _folds(image: np.ndarray, person: Person, expression: Expression) -> None:
    """Lines from nose to mouth and on the forehead, deeper with age and smile."""
    depth = min(1.0, person.skin.lines + 0.25 * max(expression.smile, 0))
    dark = np.array(person.skin.colour) * 0.5
    corner = features.mouth(person, expression).corners[1]
    start = np.array([person.nose.width + 0.04, person.nose.tip_y])
    for side in features.SIDES:
        line = np.array([start, start + (0.09, 0.12), corner + (0.07, 0), corner + (0.05, 0), start + (0.07, 0.12)])
        _fill(image, line * (side, 1), dark, depth, 0.012)
    for y in (-0.52, -0.45):
        _fill(image, canvas.ellipse((0, y), (0.35, 0.008)), dark, 0.6 * person.skin.lines, 0.008)


def _mouth(image: np.ndarray, person: Person, expression: Expression) -> None:
    shape, colour = features.mouth(person, expression), np.array(person.mouth.colour)
    _fill(image, shape.gap, (0.10, 0.07, 0.16))
    if expression.jaw > 0.15:
        teeth = shape.gap.copy()
        teeth[:, 1] = np.minimum(teeth[:, 1], person.mouth.y + 0.05)
        _fill(image, teeth, (0.80, 0.88, 0.90), 0.9)
    _fill(image, shape.upper_lip, colour * 0.85, 0.95, 0.006)
    _fill(image, shape.lower_lip, colour, 0.95, 0.008)
    line = np.concatenate([shape.line - (0, 0.006), (shape.line + (0, 0.006))[::-1]])
    _fill(image, line, colour * 0.3, 0.8)


def _beard(image: np.ndarray, person: Person, expression: Expression, rng: np.random.Generator) -> None:
    lips = np.zeros(SHAPE, np.float32)
    shape = features.mouth(person, expression)
    for outline in (shape.upper_lip, shape.lower_lip, shape.gap):
        lips = np.maximum(lips, canvas.polygon(SHAPE, canvas.to_map(outline)))
    grain = np.clip(0.85 + 0.3 * canvas.noise(rng, SHAPE, (90, 80)), 0, 1) * (1 - lips)
    for outline, strength in features.beard_area(person, expression):
        _fill(image, outline, np.array(person.hair.colour) * 0.8, strength, 0.03, within=grain)


def _eye(image: np.ndarray, person: Person, shape: EyeShape) -> None:
    eyes, skin = person.eyes, np.array(person.skin.colour)
    opening = canvas.polygon(SHAPE, canvas.to_map(shape.opening))
    _fill(image, canvas.ellipse(shape.centre, (1.2 * eyes.width, 1.7 * eyes.height)), skin * 0.72, 0.5, 0.03)
    _fill(image, shape.opening, (0.86, 0.88, 0.90))
    _fill(image, canvas.ellipse(shape.iris, (eyes.iris_radius,) * 2), np.array(eyes.iris) * 0.5, 1, within=opening)
    _fill(image, canvas.ellipse(shape.iris, (0.8 * eyes.iris_radius,) * 2), eyes.iris, 1, within=opening)
    _fill(image, canvas.ellipse(shape.iris, (0.4 * eyes.iris_radius,) * 2), (0.03, 0.03, 0.03), within=opening)
    _fill(image, canvas.ellipse(shape.iris - (0.015, 0.02), (0.012, 0.012), count=8), (1, 1, 1), within=opening)
    lid = np.concatenate([shape.upper - (0, 0.016), (shape.upper + (0, 0.008))[::-1]])
    _fill(image, lid, skin * 0.18, 0.9)
    crease = np.concatenate([shape.upper - (0, 0.055), (shape.upper - (0, 0.043))[::-1]])
    _fill(image, crease, skin * 0.45, 0.7 * eyes.lid, 0.006)
