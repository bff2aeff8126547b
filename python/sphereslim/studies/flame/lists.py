"""Pictures of known people in two lists: to train on and to validate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sphereslim.data.lists import read_labelled
from sphereslim.errors import SlimError
from sphereslim.files import write_bytes


@dataclass(frozen=True)
class Lists:
    """`pictures`: the folder that the lists' paths start from; `people`: classes; counts of both lists."""

    pictures: Path
    train: Path
    val: Path
    people: int
    train_count: int
    val_count: int


def make_lists(pictures: str | Path, source: str | Path, out: str | Path, share: float, seed: int) -> Lists:
    """The Lists in `out` from those in folder `source`: train.txt and val.txt, or train.txt split here.

    Of each person `share` of the pictures, at least one, validate where there is no val.txt.
    """
    if not Path(pictures).is_dir():
        raise SlimError(f'{pictures}: no such folder of pictures')
    train = read_labelled(Path(source) / 'train.txt', pictures)
    held = Path(source) / 'val.txt'
    train, val = (train, read_labelled(held, pictures)) if held.is_file() else _split(train, share, seed)
    labels = {label for _, label in train}
    if labels != set(range(len(labels))) or not labels.issuperset(label for _, label in val):
        raise SlimError(
            f'{source}: labels of train.txt and val.txt do not match, expected 0 to {len(labels) - 1} in both'
        )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in (('train.txt', train), ('val.txt', val)):
        write_bytes(out / name, ''.join(f'{path} {label}\n' for path, label in rows).encode())
    return Lists(Path(pictures), out / 'train.txt', out / 'val.txt', len(labels), len(train), len(val))


def _split(
    rows: Sequence[tuple[str, int]], share: float, seed: int
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    random = np.random.default_rng(seed)
    train, val = [], []
    for label in sorted({label for _, label in rows}):
        own = [row for row in rows if row[1] == label]
        order = random.permutation(len(own))
        count = min(max(1, round(share * len(own))), len(own) - 1)
        val += [own[i] for i in sorted(order[:count])]
        train += [own[i] for i in sorted(order[count:])]
    return train, val
