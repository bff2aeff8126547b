"""CelebA's identity file (`000001.jpg 2880` per line) into lists for training and validation."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sphereslim.errors import SlimError
from sphereslim.facedata.lists.training_list import read_identities


def read_people(path: str | Path) -> dict[int, list[str]]:
    """{identity: [pictures]} of an identity file; SlimError where it is not one, or empty."""
    people = defaultdict(list)
    for picture, identity in read_identities(path).items():
        people[identity].append(picture)
    if not people:
        raise SlimError(f'{path}: is empty, expected lines of `picture identity`')
    return dict(people)


def most_photographed(people: Mapping[int, Sequence[str]], count: int) -> list[int]:
    """The `count` identities with most pictures, those with as many by number; SlimError if there are fewer."""
    if not 1 <= count <= len(people):
        raise SlimError(f'{count} people: expected 1 to {len(people)}, as many as the identity file has')
    return sorted(people, key=lambda identity: (-len(people[identity]), identity))[:count]


def split(
    people: Mapping[int, Sequence[str]], chosen: Sequence[int], share: float, seed: int
) -> tuple[list[str], list[str]]:
    """(training, validation) lines `picture label`: of each person `share` of the pictures, at least one, validate.

    Labels number the `chosen` from 0. A person's split depends on the seed and on their own pictures alone.
    """
    if not 0 < share < 1:
        raise SlimError(f'validation {share}: expected above 0 and below 1')
    training: list[str] = []
    validation: list[str] = []
    for label, identity in enumerate(chosen):
        pictures = sorted(people[identity])
        if len(pictures) < 2:
            raise SlimError(f'identity {identity}: has {len(pictures)} picture, expected at least 2 to split')
        order = np.random.default_rng((seed, identity)).permutation(len(pictures))
        held = min(max(1, round(share * len(pictures))), len(pictures) - 1)
        aside = set(order[:held].tolist())
        for index, picture in enumerate(pictures):
            (validation if index in aside else training).append(f'{picture} {label}\n')
    return training, validation
