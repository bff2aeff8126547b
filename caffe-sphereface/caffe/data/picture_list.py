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
    """A list with labels (N,), or (N, L) where each picture has L, in float32."""

    labels: np.ndarray


@dataclass(frozen=True)
class AnnotatedList(PathList):
    """A list with the paths of files that say what is in the pictures."""

    annotations: list[str]


@dataclass(frozen=True)
class ClipList(PictureList):
    """A list of clips with a number for each, such as its first frame or how many it has; 0 without one."""

    numbers: list[int]

    def part(self, kept: list[int]) -> 'ClipList':
        """The list of the entries at the indices `kept`."""
        paths, lines = [self.paths[i] for i in kept], [self.lines[i] for i in kept]
        return ClipList(self.source, paths, lines, self.labels[kept], [self.numbers[i] for i in kept])


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


def read_multi_label_list(source: str, count: int | None = None) -> PictureList:
    """Read a list of `path label label …` lines, paths without spaces, with labels (N, count).

    Without `count` there are as many as in the first line, and they may be any numbers. Raises CaffeError naming file
    and line for a line of another form.
    """
    words = _words_of_lines(source)
    labels: list[list[float]] = []
    wanted = count
    for number, (_, *stated) in words:
        try:
            values = [whole_number(word) if count else float(word) for word in stated]
        except ValueError:
            values = []
        wanted = wanted or len(values)
        if not values or len(values) != wanted:
            kind = 'whole numbers' if count else 'numbers, as many as in every line'
            line = ' '.join(stated)[:60]
            raise CaffeError(f"{source}:{number}: labels '{line}', expected {wanted or 'one or more'} {kind}")
        labels.append(values)
    paths, lines = [path for _, (path, *_) in words], [number for number, _ in words]
    return PictureList(str(source), paths, lines, np.array(labels, np.float32))


def read_clip_list(source: str, numbered: bool, classes: int = 0) -> ClipList:
    """Read a list of `path number label` lines, or `path label` where they are not `numbered`; paths without spaces.

    With `classes` a label is a list such as 0,4,7 of those a clip belongs to, and labels are (N, classes) of 0 and 1.
    Raises CaffeError naming file and line for a line of another form.
    """
    words = _words_of_lines(source)
    numbers: list[int] = []
    labels: list[np.ndarray] = []
    for number, (_, *stated) in words:
        try:
            if len(stated) != 1 + numbered:
                raise ValueError('another count of words')
            numbers.append(whole_number(stated[0]) if numbered else 0)
            labels.append(_labels_of_clip(stated[-1], classes))
        except (ValueError, IndexError):
            expected = f'path, {"a number, " if numbered else ""}{f"classes below {classes}" if classes else "a label"}'
            raise CaffeError(
                f"{source}:{number}: '{' '.join(stated)[:60]}' behind the path, expected a {expected}"
            ) from None
    paths, lines = [path for _, (path, *_) in words], [number for number, _ in words]
    return ClipList(str(source), paths, lines, np.array(labels, np.float32), numbers)


def _labels_of_clip(text: str, classes: int) -> np.ndarray:
    """The label that `text` states, or 1 for each of the `classes` in it; ValueError or IndexError for others."""
    if not classes:
        return np.array(whole_number(text), np.float32)
    row = np.zeros(classes, np.float32)
    for word in text.split(','):
        if int(word) < 0:
            raise ValueError('a class below 0')
        row[int(word)] = 1
    return row


def read_path_list(source: str) -> PathList:
    """Read a list of paths, one a line, without spaces; CaffeError naming file and line for other lines."""
    words = _words_of_lines(source)
    for number, line in words:
        if len(line) != 1:
            raise CaffeError(f"{source}:{number}: '{' '.join(line)[:80]}', expected one path")
    return PathList(str(source), [path for _, (path,) in words], [number for number, _ in words])


def read_annotated_list(source: str) -> AnnotatedList:
    """Read a list of `picture annotation` lines, paths without spaces; CaffeError naming file and line for others."""
    words = _words_of_lines(source)
    for number, line in words:
        if len(line) != 2:
            text = ' '.join(line)[:80]
            raise CaffeError(f"{source}:{number}: '{text}', expected the paths of a picture and its boxes")
    lines = [number for number, _ in words]
    return AnnotatedList(str(source), [picture for _, (picture, _) in words], lines, [boxes for _, (_, boxes) in words])


def _words_of_lines(source: str) -> list[tuple[int, list[str]]]:
    """[(number, words)] of the lines of a file that are not blank; CaffeError where there is none."""
    lines = read_bytes(source).decode(errors='surrogateescape').split('\n')
    found = [(number, words) for number, line in enumerate(lines, 1) if (words := line.split())]
    if not found:
        raise CaffeError(f'{source}: lists no pictures, expected a line for each')
    return found
