"""Lists of labelled pictures as Caffe's ImageData reads them, and a set of faces to train and to verify on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sphereslim.errors import SlimError
from sphereslim.files import read_text


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
