"""One picture of one person."""

from dataclasses import dataclass

import numpy as np

from sphereslim.facedata.synthetic import backdrop, canvas, covering, hair, photo, raycast, surface, texture
from sphereslim.facedata.synthetic.identity import Person
from sphereslim.facedata.synthetic.light import shade
from sphereslim.facedata.synthetic.view import View

SIZE = 250  # pixels, as the pictures of LFW


@dataclass(frozen=True)
class Face:
    """A head under an expression, ready to be seen: hair coverage and heights over the frontal map."""

    hair: np.ndarray
    z: np.ndarray


def shape(person: Person, view: View) -> Face:
    """Face of the person in this view."""
    cover = hair.cover(person)
    return Face(cover, surface.heights(person, view.expression, cover))


def landmarks(person: Person, view: View) -> np.ndarray:
    """Left eye, right eye, nose tip, left and right mouth corner (5×2 pixels, 0-based) of the person's picture."""
    face = shape(person, view)
    return view.pose.project(surface.landmarks(person, view.expression, face.z))


def render(person: Person, view: View) -> np.ndarray:
    """uint8 BGR picture, SIZE×SIZE, of the person in this view."""
    face, rng = shape(person, view), np.random.default_rng(view.seed)
    image = backdrop.scene(rng, SIZE)
    backdrop.back_hair(image, person, view)
    backdrop.body(image, rng, person, view)
    cap = covering.cap_colour(view) if view.occlusion == 'cap' else None
    backdrop.skull(image, person, view, cap)
    backdrop.ears(image, person, view, near=False)
    _face(image, person, view, face, cap)
    backdrop.ears(image, person, view, near=True)
    if view.glasses != 'none':
        covering.glasses(image, person, view, face.z)
    if view.occlusion in covering.OVER_FACE:
        covering.OVER_FACE[view.occlusion](image, rng, person, view, face.z)
    return photo.expose(image, view.camera, rng)


def _face(image: np.ndarray, person: Person, view: View, face: Face, cap: np.ndarray | None) -> None:
    colours = texture.paint(person, view.expression, face.hair)
    if cap is not None:
        canvas.blend(colours, covering.cap_cover(), cap)
    sight = raycast.see_surface(face.z, view.pose, SIZE)
    canvas.blend(image[sight.box], sight.cover, shade(raycast.sample(colours, sight), sight.normal, view.light))
