"""What a person is: the lasting shape and colours of a face.

Lengths are in head units: the distance from the middle of the face to its chin is about 1. x points right in the
picture, y down, z to the viewer. Colours are BGR reflectances in 0..1.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

SKIN = np.array([[0.76, 0.84, 0.97], [0.58, 0.72, 0.91], [0.40, 0.56, 0.78], [0.25, 0.38, 0.58], [0.15, 0.22, 0.36]])
HAIR = np.array(
    [
        [0.06, 0.06, 0.07],
        [0.09, 0.14, 0.22],
        [0.14, 0.25, 0.42],
        [0.32, 0.55, 0.76],
        [0.10, 0.24, 0.56],
        [0.66, 0.68, 0.70],
    ]
)
IRIS = np.array([[0.08, 0.14, 0.24], [0.10, 0.22, 0.38], [0.62, 0.48, 0.30], [0.32, 0.50, 0.36], [0.50, 0.50, 0.46]])
HAIRLINES = ('bald', 'short', 'fringe', 'parted', 'receding', 'peak', 'curly')
Colour = tuple[float, ...]  # BGR
BEARDS = ('none', 'none', 'none', 'none', 'stubble', 'moustache', 'goatee', 'full')


@dataclass(frozen=True)
class Head:
    """Outline, depth and relief of the head; cheekbones, chin and brow ridge are heights of bumps on it."""

    radii: tuple[
        float, ...
    ]  # distance of the outline from the middle at 0 (chin), 25, 55, 90, 120, 150 and 180 (crown) degrees
    depth: float
    roundness: float
    cheekbones: float
    chin: float
    brow_ridge: float


@dataclass(frozen=True)
class Skin:
    """Colour and what is on it; `blush` and `lines` are strengths 0..1."""

    colour: Colour
    blush: float
    freckles: int
    moles: tuple[tuple[float, ...], ...]  # (x, y, radius)
    lines: float


@dataclass(frozen=True)
class Hair:
    """Colour of the hair, and where it grows and falls; `volume` is how far it stands off."""

    colour: Colour
    hairline: str
    height: float  # y of the hairline above the nose
    sides: float  # y to which hair falls at the sides of the face
    back: float  # y to which hair falls behind the head
    parting: float
    volume: float


@dataclass(frozen=True)
class Eyes:
    """Place and shape of both eyes; `tilt` in radians, `depth` how far in they lie, `lid` the crease's strength."""

    spacing: float  # from the middle of the face to the middle of an eye
    y: float
    width: float
    height: float
    tilt: float
    iris: Colour
    iris_radius: float
    depth: float
    lid: float


@dataclass(frozen=True)
class Brows:
    """Colour and shape of both eyebrows; `lift` is how far above the eye, `slant` the rise over the length."""

    colour: Colour
    gap: float
    lift: float
    length: float
    thickness: float
    arch: float
    slant: float


@dataclass(frozen=True)
class Nose:
    """Place and shape of the nose; `bridge` and `tip` are heights over the face, `bend` is sideways."""

    tip_y: float
    width: float
    bridge: float
    bridge_width: float
    tip: float
    tip_radius: float
    bend: float


@dataclass(frozen=True)
class Mouth:
    """Place, shape and colour of the lips; `curve` is how much lower the corners lie than the middle."""

    y: float
    width: float
    upper: float
    lower: float
    bow: float
    curve: float
    colour: Colour


@dataclass(frozen=True)
class Ears:
    """Size and height of both ears."""

    height: float
    width: float
    y: float


@dataclass(frozen=True)
class Person:
    """Everything that lasts about one person."""

    seed: int  # of the fine texture: where the freckles are, how the hair runs
    head: Head
    skin: Skin
    hair: Hair
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    ears: Ears
    beard: str
    habit_glasses: float  # chance that a picture shows this person with glasses
    frame: tuple[float, ...]  # half width, half height, squareness and grey of the glasses


def sample_person(rng: np.random.Generator) -> Person:
    """A new Person, drawn from numpy Generator `rng`."""
    skin, hair = _skin(rng), _hair(rng)
    eyes = _eyes(rng)
    return Person(
        seed=int(rng.integers(1 << 31)),
        head=_head(rng),
        skin=skin,
        hair=hair,
        eyes=eyes,
        brows=_brows(rng, hair.colour),
        nose=_nose(rng),
        mouth=_mouth(rng, skin.colour),
        ears=Ears(rng.uniform(0.15, 0.27), rng.uniform(0.08, 0.17), rng.uniform(-0.05, 0.12)),
        beard=str(rng.choice(BEARDS)),
        habit_glasses=float(rng.choice([0.05, 0.05, 0.05, 0.6])),
        frame=(rng.uniform(0.2, 0.27), rng.uniform(0.13, 0.22), rng.uniform(2, 6), rng.uniform(0.02, 0.35)),
    )


def _along(palette: np.ndarray, position: float) -> np.ndarray:
    """The colour at `position` (0..1) on the line of colours `palette`."""
    stops = np.linspace(0, 1, len(palette))
    return np.array([np.interp(position, stops, palette[:, channel]) for channel in range(3)])


def _tuple(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _head(rng: np.random.Generator) -> Head:
    middle = np.array([1.0, 0.98, 0.86, 0.78, 0.82, 0.96, 1.05])
    spread = np.array([0.07, 0.08, 0.09, 0.07, 0.06, 0.06, 0.06])
    radii = (middle + spread * rng.uniform(-1, 1, 7)) * rng.uniform(0.96, 1.04)
    return Head(
        _tuple(radii),
        rng.uniform(0.62, 0.85),
        rng.uniform(2.0, 2.8),
        rng.uniform(0, 0.09),
        rng.uniform(0, 0.12),
        rng.uniform(0, 0.07),
    )


def _skin(rng: np.random.Generator) -> Skin:
    colour = np.clip(_along(SKIN, rng.beta(1.1, 1.5)) + rng.uniform(-0.03, 0.03, 3), 0.08, 0.98)
    freckles = int(rng.choice([0, 0, 0, int(rng.integers(20, 70))]))
    moles = tuple(
        _tuple((rng.uniform(-0.6, 0.6), rng.uniform(-0.5, 0.85), rng.uniform(0.015, 0.035)))
        for _ in range(rng.integers(0, 4))
    )
    return Skin(_tuple(colour), rng.uniform(0, 0.25), freckles, moles, rng.choice([0.0, rng.uniform(0, 0.5)]))


def _hair(rng: np.random.Generator) -> Hair:
    colour = np.clip(HAIR[rng.choice(6, p=[0.28, 0.24, 0.18, 0.13, 0.09, 0.08])] * rng.uniform(0.75, 1.2), 0.02, 0.9)
    length = rng.choice([0.0, rng.uniform(0.2, 1.5)])
    hairline = str(rng.choice(HAIRLINES, p=[0.07, 0.18, 0.18, 0.18, 0.13, 0.12, 0.14]))
    if hairline == 'bald':
        length = 0.0
    return Hair(
        _tuple(colour),
        hairline,
        rng.uniform(-0.72, -0.5),
        length - 0.25,
        length,
        rng.uniform(-0.45, 0.45),
        rng.uniform(0.03, 0.16),
    )


def _eyes(rng: np.random.Generator) -> Eyes:
    iris = np.clip(IRIS[rng.integers(len(IRIS))] * rng.uniform(0.8, 1.2), 0, 1)
    return Eyes(
        rng.uniform(0.29, 0.38),
        rng.uniform(-0.14, -0.06),
        rng.uniform(0.115, 0.175),
        rng.uniform(0.045, 0.085),
        rng.uniform(-0.25, 0.25),
        _tuple(iris),
        rng.uniform(0.055, 0.075),
        rng.uniform(0.05, 0.14),
        rng.uniform(0, 1),
    )


def _brows(rng: np.random.Generator, hair_colour: Colour) -> Brows:
    colour = np.array(hair_colour) * rng.uniform(0.45, 0.95)
    return Brows(
        _tuple(colour),
        rng.uniform(0.06, 0.16),
        rng.uniform(0.13, 0.23),
        rng.uniform(0.28, 0.4),
        rng.uniform(0.018, 0.06),
        rng.uniform(0, 0.08),
        rng.uniform(-0.2, 0.2),
    )


def _nose(rng: np.random.Generator) -> Nose:
    return Nose(
        rng.uniform(0.24, 0.4),
        rng.uniform(0.13, 0.24),
        rng.uniform(0.06, 0.17),
        rng.uniform(0.07, 0.12),
        rng.uniform(0.17, 0.32),
        rng.uniform(0.08, 0.13),
        rng.uniform(-0.05, 0.05),
    )


def _mouth(rng: np.random.Generator, skin_colour: Colour) -> Mouth:
    tint = np.array([0.38, 0.34, 0.72]) * rng.uniform(0.7, 1.1)
    colour = np.clip(np.array(skin_colour) * rng.uniform(0.45, 0.75) + tint * rng.uniform(0.15, 0.5), 0, 1)
    return Mouth(
        rng.uniform(0.54, 0.66),
        rng.uniform(0.2, 0.34),
        rng.uniform(0.025, 0.07),
        rng.uniform(0.04, 0.1),
        rng.uniform(0, 0.03),
        rng.uniform(-0.03, 0.03),
        _tuple(colour),
    )
