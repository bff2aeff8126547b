"""A set of faces to train and to verify on: aligned pictures, a training list, pairs."""

from dataclasses import dataclass
from pathlib import Path

from sphereslim.data.labelled import read_labelled
from sphereslim.errors import SlimError


@dataclass(frozen=True)
class Faces:
    """`pictures`: folder of aligned faces; `train`: ImageData list below it; `pairs`: in LFW's form.

    `people` and `count` are the classes and pictures of the list.
    """

    pictures: Path
    train: Path
    pairs: Path
    people: int
    count: int


def open_faces(folder):
    """The Faces in a folder with aligned/, train.txt and pairs.txt; SlimError says what is missing or wrong in them."""
    folder = Path(folder)
    pictures, train, pairs = folder / 'aligned', folder / 'train.txt', folder / 'pairs.txt'
    for path in (pictures, train, pairs):
        if not path.exists():
            raise SlimError(f'{path}: not there, expected aligned/, train.txt and pairs.txt in {folder}')
    labels = [label for _, label in read_labelled(train, pictures)]
    if set(labels) != set(range(max(labels) + 1)):
        raise SlimError(f'{train}: labels are not dense, expected every number from 0 to {max(labels)}')
    return Faces(pictures, train, pairs, max(labels) + 1, len(labels))
