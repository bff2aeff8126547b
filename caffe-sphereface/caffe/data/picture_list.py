"""Lists of pictures: a text file of `path label` lines."""

from dataclasses import dataclass

import numpy as np

from caffe.errors import CaffeError
from caffe.proto.files import read_bytes


@dataclass(frozen=True)
class PictureList:
    """Paths (str) and labels (N,) float32 of a list; `lines[i]` is the number of entry i's line in `source`."""

    source: str
    paths: list
    labels: np.ndarray
    lines: list

    def where(self, index):
        """`file:line` of an entry, for errors."""
        return f'{self.source}:{self.lines[index]}'


def whole_number(text):
    """The whole number of 32 bits that `text` states; ValueError where it does not."""
    number = int(text)
    if not -(2**31) <= number < 2**31:
        raise ValueError(f'{text[:20]}… is no number of 32 bits')
    return number


def read_list(source):
    """Read a list; what follows the last space of a line is its label. Blank lines are passed over.

    Raises CaffeError naming file and line for a line without a path or with a label that is no whole number, and for an
    empty list.
    """
    paths, labels, lines = [], [], []
    for number, line in enumerate(read_bytes(source).decode(errors='surrogateescape').split('\n'), 1):
        path, _, label = line.strip().replace('\t', ' ').rpartition(' ')
        if not path and not label:
            continue
        try:
            labels.append(whole_number(label))
        except ValueError:
            label = None
        if not path or label is None:
            raise CaffeError(f"{source}:{number}: '{line.strip()[:80]}', expected a path, a space and a whole number")
        paths.append(path.rstrip())
        lines.append(number)
    if not paths:
        raise CaffeError(f'{source}: lists no pictures, expected lines of a path, a space and a label')
    return PictureList(str(source), paths, np.array(labels, np.float32), lines)
