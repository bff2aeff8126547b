"""Lists of pictures: a text file of `path label` lines, or of `path path` where a file says what is in a picture."""

from dataclasses import dataclass

import numpy as np

from caffe.errors import CaffeError
from caffe.proto.files import read_bytes


@dataclass(frozen=True)
class PathList:
    """Paths (str) of a list; `lines[i]` is the number of entry i's line in `source`."""

    source: str
    paths: list[str]
    lines: list[int]

    def where(self, index: int) -> str:
        """`file:line` of an entry, for errors."""
        return f'{self.source}:{self.lines[index]}'


@dataclass(frozen=True)
class PictureList(PathList):
    """A list with labels (N,) in float32."""

    labels: np.ndarray


@dataclass(frozen=True)
class AnnotatedList(PathList):
    """A list with the paths of files that say what is in the pictures."""

    annotations: list[str]


def whole_number(text: str) -> int:
    """The whole number of 32 bits that `text` states; ValueError where it does not."""
    number = int(text)
    if not -(2**31) <= number < 2**31:
        raise ValueError(f'{text[:20]}… is no number of 32 bits')
    return number


def read_list(source: str) -> PictureList:
    """Read a list; what follows the last space of a line is its label. Blank lines are passed over.

    Raises CaffeError naming file and line for a line without a path or with a label that is no whole number, and for an
    empty list.
    """
    paths: list[str] = []
    labels: list[int] = []
    lines: list[int] = []
    for number, line in enumerate(read_bytes(source).decode(errors='surrogateescape').split('\n'), 1):
        path, _, label = line.strip().replace('\t', ' ').rpartition(' ')
        if not path and not label:
            continue
        try:
            if not path:
                raise ValueError('no path')
            labels.append(whole_number(label))
        except ValueError:
            raise CaffeError(
                f"{source}:{number}: '{line.strip()[:80]}', expected a path, a space and a whole number"
            ) from None
        paths.append(path.rstrip())
        lines.append(number)
    if not paths:
        raise CaffeError(f'{source}: lists no pictures, expected lines of a path, a space and a label')
    return PictureList(str(source), paths, lines, np.array(labels, np.float32))


def read_annotated_list(source: str) -> AnnotatedList:
    """Read a list of `picture annotation` lines, paths without spaces; CaffeError naming file and line for others."""
    paths: list[str] = []
    annotations: list[str] = []
    lines: list[int] = []
    for number, line in enumerate(read_bytes(source).decode(errors='surrogateescape').split('\n'), 1):
        words = line.split()
        if words and len(words) != 2:
            raise CaffeError(f"{source}:{number}: '{line.strip()[:80]}', expected the paths of a picture and its boxes")
        if words:
            paths.append(words[0])
            annotations.append(words[1])
            lines.append(number)
    if not paths:
        raise CaffeError(f'{source}: lists no pictures, expected lines of the paths of a picture and its boxes')
    return AnnotatedList(str(source), paths, lines, annotations)
