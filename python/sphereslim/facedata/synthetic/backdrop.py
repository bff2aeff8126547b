"""What is behind and below the face: the scene, the shoulders, the hair at the back, the skull and the ears."""

import cv2
import numpy as np

from sphereslim.facedata.synthetic import canvas, raycast
from sphereslim.facedata.synthetic.identity import Person
from sphereslim.facedata.synthetic.light import flat, shade
from sphereslim.facedata.synthetic.view import View

CAP_EDGE = -0.5  # y of a cap's edge on the forehead


def scene(rng: np.random.Generator, size: int) -> np.ndarray:
    """A blurred scene of `size`×`size` pixels, float32 BGR."""
    image = np.empty((size, size, 3), np.float32)
    image[:] = muted(rng)
    image += rng.uniform(-0.35, 0.35) * np.linspace(-1, 1, size)[:, None, None]
    for _ in range(rng.integers(3, 12)):
        shape = canvas.ellipse(
            rng.uniform(0, size, 2), rng.uniform(0.05, 0.4, 2) * size, rng.uniform(0, 3), rng.choice([2, 9])
        )
        canvas.fill(image, shape, muted(rng), rng.uniform(0.3, 1))
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 8))
    return np.clip(image, 0, 1).astype(np.float32)


def body(image: np.ndarray, rng: np.random.Generator, person: Person, view: View) -> None:
    """Paint shoulders and neck in place."""
    pose, scale = view.pose, view.pose.scale
    foot = pose.project([(0, 1.25, -0.35)])[0]
    neck = pose.project([(-0.45, 0.4, -0.3), (0.45, 0.4, -0.3), (0.42, 1.35, -0.3), (-0.42, 1.35, -0.3)])
    clothes, half = flat(muted(rng), view.light), rng.uniform(1.2, 1.7)
    slope = np.array(
        [(-half, 2.4), (-half, 0.45), (-0.45, 0.0), (0, rng.uniform(0.05, 0.5)), (0.45, 0.0), (half, 0.45), (half, 2.4)]
    )
    canvas.fill(image, neck, flat(person.skin.colour, view.light) * 0.6, 1, 1.5)
    canvas.fill(image, slope * scale + foot, clothes, 1, 1.0)


def back_hair(image: np.ndarray, person: Person, view: View) -> None:
    """Paint long hair that hangs behind the face in place."""
    hair = person.hair
    if hair.back <= 0:
        return
    rng = np.random.default_rng((person.seed, 3))
    half = 0.84 + 1.5 * hair.volume
    y = np.linspace(-0.6, hair.back, 10)
    side = np.stack([half + rng.uniform(-0.05, 0.08, 10), y, np.full(10, -0.35)], 1)
    outline = np.concatenate([side, side[::-1] * (-1, 1, 1)])
    canvas.fill(image, view.pose.project(outline), flat(hair.colour, view.light) * 0.75, 1, 1.2)


def skull(image: np.ndarray, person: Person, view: View, cap: np.ndarray | None = None) -> None:
    """Paint the head behind the face in place, with its hair or under a cap of the colour `cap`."""
    size, head = image.shape[0], person.head
    bald = person.hair.hairline == 'bald'
    volume = 0.0 if bald else person.hair.volume
    radii = (head.radii[4] + volume, 0.9 * head.radii[6] + volume, 0.95)
    sight = raycast.see_ellipsoid((0, 0.02 - 0.1 * head.radii[6], -0.3), radii, view.pose, size)
    colour: np.ndarray = np.array(person.skin.colour if bald else person.hair.colour, np.float32)
    if not bald:
        grain = canvas.noise(np.random.default_rng((person.seed, 4)), (canvas.ROWS, canvas.COLUMNS), (12, 60))
        colour = colour * np.clip(1 + 0.2 * raycast.sample(grain, sight), 0.4, 1.7)[..., None]
    if cap is not None:
        colour = np.where(sight.y[..., None] < CAP_EDGE, cap, colour)
    canvas.blend(image[sight.box], sight.cover, shade(colour, sight.normal, view.light))


def ears(image: np.ndarray, person: Person, view: View, near: bool) -> None:
    """Paint the ears nearer to the viewer than the face's outline (`near`), or the others, in place."""
    if person.hair.sides > person.ears.y:
        return  # long hair covers them
    for side in (-1, 1):
        if (side * view.pose.yaw < 0) == near:
            _ear(image, person, view, side)


def muted(rng: np.random.Generator) -> np.ndarray:
    """A BGR colour of things around people: grey with some tint."""
    return np.clip(rng.uniform(0.05, 0.9) + rng.normal(0, 0.13, 3), 0.02, 0.95)


def _ear(image: np.ndarray, person: Person, view: View, side: int) -> None:
    ear, tone = person.ears, flat(person.skin.colour, view.light)
    ring = canvas.ellipse((0, 0), (ear.width, ear.height), side * 0.15)
    root = (side * (0.97 * person.head.radii[3] + 0.4 * ear.width), ear.y, 0.02 - 0.25 * ear.width)
    points = np.column_stack([ring, -0.5 * side * ring[:, 0]]) + root
    tone = tone * (0.75 + 0.25 * side * view.light.direction[0])
    canvas.fill(image, view.pose.project(points), tone, 1, 0.6)
    middle = points.mean(0)
    canvas.fill(image, view.pose.project(middle + 0.55 * (points - middle)), tone * 0.6, 0.8, 1.2)
