"""The colour that a lit surface shows."""

import numpy as np
import numpy.typing as npt

from sphereslim.facedata.synthetic.view import Light

AROUND = 0.15  # how far lamplight reaches round an edge: real lamps are broad


def shade(reflectance: np.ndarray, normal: np.ndarray, light: Light) -> np.ndarray:
    """BGR picture of `reflectance` (rows×columns×3, or one colour) with unit normals (rows×columns×3) under `light`."""
    direction = np.array(light.direction, np.float32)
    facing = normal @ direction
    lamp = np.clip((facing + AROUND) / (1 + AROUND), 0, 1)[..., None]
    half = direction + (0, 0, 1)
    gloss = np.clip(normal @ (half / np.linalg.norm(half)).astype(np.float32), 0, 1) ** 24
    sky = 1 - 0.25 * normal[..., 1:2].clip(0, 1)
    colour, ambient = np.array(light.colour, np.float32), np.array(light.ambient, np.float32)
    lit = np.asarray(reflectance, np.float32) * (lamp * colour + sky * ambient)
    return lit + (light.shine * gloss)[..., None] * lamp * colour


def flat(colour: npt.ArrayLike, light: Light) -> np.ndarray:
    """What one BGR reflectance shows when it faces the viewer."""
    return np.array(colour) * (np.array(light.ambient) + np.array(light.colour) * max(light.direction[2], 0.2))
