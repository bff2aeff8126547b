"""People who look so much like another that they may be the same, by a face model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sphereslim.facedata.lists.merge import Merged, Person

ALIKE = 'looks like somebody else of the set'


def centres(features: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Each person's direction (people, dimensions): the mean of unit features (pictures, dimensions), of length 1.

    `counts` are the pictures of each person, one after another in `features`.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    sums = np.add.reduceat(unit, np.cumsum([0, *counts[:-1]]), axis=0)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def both_sides(features: np.ndarray) -> np.ndarray:
    """Directions (pictures, dimensions) between those of picture and mirror image, which stand side by side."""
    return centres(features.reshape(-1, features.shape[1] // 2), [2] * len(features))


def look_alikes(people: Sequence[Person], directions: np.ndarray, limit: float) -> dict[str, str]:
    """{folder: reason} of the people to leave out: cosine to somebody who stays, or is tested on, of `limit` or more.

    `directions` (people, dimensions) have length 1. Whoever is tested on stays; of others the one who comes first.
    """
    stays = [number for number, person in enumerate(people) if person.tested]
    found = {}
    for number, person in enumerate(people):
        if person.tested:
            continue
        cosines = directions[stays] @ directions[number] if stays else np.zeros(0)
        if len(cosines) and cosines.max() >= limit:
            other = people[stays[int(cosines.argmax())]]
            found[person.folder] = f'{ALIKE}: {other.folder}, cosine {cosines.max():.2f}'
        else:
            stays.append(number)
    return found


def compared(merged: Merged) -> list[Person]:
    """The people whose looks count: those who are tested on, here or elsewhere, and those who are taken."""
    return [*merged.tested_elsewhere, *merged.taken]
