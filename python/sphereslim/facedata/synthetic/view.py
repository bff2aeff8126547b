"""How one picture shows a person: pose, light, expression, what covers the face, and the camera."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

OCCLUSIONS = ('none', 'lock', 'hand', 'cap', 'scarf')
CHANCES = (0.68, 0.09, 0.07, 0.09, 0.07)


@dataclass(frozen=True)
class Pose:
    """Where and how the head is in the picture."""

    yaw: float  # radians; positive turns the nose to the right of the picture
    pitch: float  # positive turns the nose down
    roll: float  # positive turns the head clockwise
    scale: float  # pixels per head unit
    centre: tuple[float, ...]  # pixels

    def rotation(self) -> np.ndarray:
        """3×3 matrix from head axes (x right, y down, z to the viewer) to picture axes."""
        turn_y = _rotation(self.yaw, 2, 0)
        turn_x = _rotation(self.pitch, 2, 1)
        turn_z = _rotation(self.roll, 0, 1)
        return turn_z @ turn_x @ turn_y

    def project(self, points: npt.ArrayLike) -> np.ndarray:
        """Pixel coordinates, N×2, of N×3 points of the head."""
        turned = np.asarray(points, dtype=np.float64) @ self.rotation().T
        return turned[:, :2] * self.scale + np.array(self.centre)


@dataclass(frozen=True)
class Light:
    """A lamp and what is lit without it: factors for each colour, BGR; `shine` is the strength of highlights."""

    direction: tuple[float, ...]  # unit vector to the lamp, picture axes
    colour: tuple[float, ...]
    ambient: tuple[float, ...]
    shine: float


@dataclass(frozen=True)
class Expression:
    """What the face does: a `smile` below 0 is a frown, `brows` above 0 are raised, `gaze` is x, y in -1..1."""

    smile: float
    jaw: float  # 0 closed .. 1 wide open
    brows: float
    lids: float  # 1 open .. 0 closed
    gaze: tuple[float, ...]


@dataclass(frozen=True)
class Camera:
    """What the camera makes of the scene: exposure curve (gamma, contrast), then blurs, then noise."""

    blur: float  # pixels
    motion: float  # pixels
    noise: float  # grey levels
    gamma: float
    contrast: float


@dataclass(frozen=True)
class View:
    """Everything that one picture of a person shows besides the person."""

    seed: int  # of the backdrop, the noise and the shape of what covers the face
    pose: Pose
    light: Light
    expression: Expression
    camera: Camera
    glasses: str  # none, clear or dark
    occlusion: str


def sample_view(rng: np.random.Generator, habit_glasses: float, size: int) -> View:
    """A new View of a picture of `size` pixels (square), drawn from numpy Generator `rng`."""
    glasses = 'none'
    if rng.random() < habit_glasses:
        glasses = 'dark' if rng.random() < 0.15 else 'clear'
    return View(
        int(rng.integers(1 << 31)),
        _pose(rng, size),
        _light(rng),
        _expression(rng),
        _camera(rng),
        glasses,
        str(rng.choice(OCCLUSIONS, p=CHANCES)),
    )


def _rotation(angle: float, first: int, second: int) -> np.ndarray:
    """Rotation that carries axis `first` towards axis `second`."""
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[second, first], matrix[first, second] = np.sin(angle), -np.sin(angle)
    return matrix


def _pose(rng: np.random.Generator, size: int) -> Pose:
    yaw, pitch, roll = np.clip(rng.normal(0, (0.22, 0.11, 0.12)), -0.65, 0.65)
    centre = size * (0.5 + rng.uniform(-0.05, 0.05, 2))
    return Pose(float(yaw), float(pitch), float(roll), size * rng.uniform(0.235, 0.31), tuple(centre.tolist()))


def _light(rng: np.random.Generator) -> Light:
    angle, height = rng.uniform(-1.3, 1.3), rng.uniform(-1.0, 0.35)
    direction = np.array([np.sin(angle) * np.cos(height), np.sin(height), np.cos(angle) * np.cos(height)])
    warmth = np.array([1.0, 0.0, -1.0]) * rng.normal(0, 0.08)
    strength, share = rng.uniform(0.8, 1.25), rng.uniform(0.2, 0.65)
    return Light(
        tuple(direction.tolist()),
        tuple((strength * share * (1 + warmth)).tolist()),
        tuple((strength * (1 - share) * (1 - rng.uniform(-0.5, 1) * warmth)).tolist()),
        rng.uniform(0, 0.25),
    )


def _expression(rng: np.random.Generator) -> Expression:
    jaw = float(rng.choice([0.0, rng.uniform(0, 1)]))
    lids = float(rng.choice([1.0, rng.uniform(0.3, 1.15)]))
    return Expression(rng.uniform(-0.4, 1.0), jaw, rng.normal(0, 0.5), lids, tuple(rng.uniform(-1, 1, 2).tolist()))


def _camera(rng: np.random.Generator) -> Camera:
    return Camera(
        rng.uniform(0, 1.2),
        float(rng.choice([0.0, 0.0, rng.uniform(1, 4)])),
        rng.uniform(1, 9),
        rng.uniform(0.85, 1.2),
        rng.uniform(0.85, 1.15),
    )
