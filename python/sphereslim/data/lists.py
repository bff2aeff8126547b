"""Lists of labelled pictures as Caffe's ImageData reads them, and a set of faces to train and to verify on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sphereslim.errors import SlimError
from sphereslim.files import read_text, whole_file, write_text


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


def open_faces(folder: str | Path) -> Faces:
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


def read_labelled(path: str | Path, folder: str | Path | None = None) -> list[tuple[str, int]]:
    """[(picture, label)] of a list, blank lines passed over; the pictures are looked for in `folder` where it is given.

    SlimError naming an invalid line or one whose picture is missing, and for an empty list.
    """
    rows = []
    for number, line in enumerate(read_text(path, 'lines of `path label`').splitlines(), 1):
        words = line.rsplit(maxsplit=1)
        if words and (len(words) != 2 or not words[1].isdigit()):
            raise SlimError(f"{path}:{number}: '{line.strip()}', expected `path label`")
        if words and folder is not None and not Path(folder, words[0].strip()).is_file():
            raise SlimError(f'{path}:{number}: {Path(folder, words[0].strip())}: no such picture')
        if words:
            rows.append((words[0].strip(), int(words[1])))
    if not rows:
        raise SlimError(f'{path}: is empty, expected lines of `path label`')
    return rows


@dataclass(frozen=True)
class Taught:
    """What a face model says of pictures, whoever is in them: `pictures` an ImageData list below `folder`, whose labels
    are rows of `directions`, float32 (pictures, dimensions), each of length 1."""

    folder: Path
    pictures: Path
    directions: np.ndarray


def write_taught(folder: str | Path, pictures: Sequence[str], directions: np.ndarray) -> None:
    """Write unlabelled.txt and teacher.npy: pictures below aligned/ and what the model says of each, row by row."""
    folder = Path(folder)
    write_text(folder / 'unlabelled.txt', ''.join(f'{picture} {row}\n' for row, picture in enumerate(pictures)))
    with whole_file(folder / 'teacher.npy') as temporary, open(temporary, 'wb') as file:
        np.save(file, np.asarray(directions, np.float32))


def open_taught(folder: str | Path) -> Taught:
    """The Taught of a folder that was prepared with a teacher; SlimError where there is none, or it does not fit."""
    folder = Path(folder)
    pictures, stored = folder / 'unlabelled.txt', folder / 'teacher.npy'
    if not (pictures.is_file() and stored.is_file()):
        raise SlimError(
            f'{stored}: not there, expected faces that were prepared with a teacher (prepare-faces --teacher)'
        )
    rows = len(read_labelled(pictures, folder / 'aligned'))
    directions = np.load(stored)
    if directions.ndim != 2 or len(directions) != rows:
        raise SlimError(
            f'{stored}: has shape {directions.shape}, expected {rows} rows, one for each picture of {pictures}'
        )
    return Taught(folder / 'aligned', pictures, directions)
