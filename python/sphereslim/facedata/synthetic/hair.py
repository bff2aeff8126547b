"""Which part of the frontal map hair covers, and how it looks."""

import cv2
import numpy as np

from sphereslim.facedata.synthetic import canvas
from sphereslim.facedata.synthetic.identity import Person


def cover(person: Person) -> np.ndarray:
    """Coverage 0..1 of the map by the hair of forehead, crown and sides, float32."""
    line = hairline(person)
    if line is None:
        return np.zeros((canvas.ROWS, canvas.COLUMNS), np.float32)
    outline = np.concatenate([[(-1.3, -1.5)], line, [(1.3, -1.5)]])
    covered = canvas.polygon((canvas.ROWS, canvas.COLUMNS), canvas.to_map(outline), soft=1.5)
    return np.maximum(covered, _sides(person))


def hairline(person: Person) -> np.ndarray | None:
    """Points of the edge of the hair from left to right over the forehead; None for the bald."""
    if person.hair.hairline == 'bald':
        return None
    x = np.linspace(-1.2, 1.2, 49)
    return np.stack([x, person.hair.height + _shape(person, x)], 1)


def strands(person: Person) -> np.ndarray:
    """Reflectance factor of the hair on the map, float32 around 1: streaks, or curls."""
    rng = np.random.default_rng((person.seed, 1))
    cells = (26, 24) if person.hair.hairline == 'curly' else (8, 90)
    streaks = canvas.noise(rng, (canvas.ROWS, canvas.COLUMNS), cells)
    return np.clip(1 + 0.22 * streaks, 0.4, 1.8)


def _shape(person: Person, x: np.ndarray) -> np.ndarray:
    parting = person.hair.parting
    temples = 0.9 * np.maximum(np.abs(x) - 0.58, 0)
    rng = np.random.default_rng((person.seed, 2))
    wave = np.interp(x, np.linspace(-1.2, 1.2, 15), rng.normal(0, 0.03, 15))
    return (
        temples
        + {
            'short': 0.25 * x**2 - 0.05 + 0.3 * wave,
            'fringe': 0.2 + 0.1 * x**2 + wave,
            'parted': 0.45 * np.abs(x - parting) ** 1.2 - 0.12,
            'receding': -0.1 - 0.28 * np.exp(-(((np.abs(x) - 0.4) / 0.16) ** 2)),
            'peak': 0.14 * np.exp(-((x / 0.13) ** 2)) - 0.12 + 0.1 * x**2,
            'curly': 0.05 + 0.06 * np.sin(14 * x) + 1.5 * wave,
        }[person.hair.hairline]
    )


def _sides(person: Person) -> np.ndarray:
    """Hair that falls along the temples and cheeks."""
    x, y = canvas.axes()
    width = 0.13 + 0.5 * person.hair.volume
    edge = 0.84 - width * np.clip((person.hair.sides + 0.4 - y) / 0.5, 0, 1)
    side = np.clip((np.abs(x) - edge) / 0.03, 0, 1) * np.clip((person.hair.sides - y) / 0.06, 0, 1)
    return cv2.GaussianBlur(side * (y > -0.75), (0, 0), 1.0)
