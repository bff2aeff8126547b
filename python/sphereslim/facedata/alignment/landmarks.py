"""Landmark lists: plain text, a picture per line, tabs between the fields, all numbers in pixels.

    path x1 y1 x2 y2 score ex ey ex ey nx ny mx my mx my     the box's edges, its score, five points (detect.py)
    path ex ey ex ey nx ny mx my mx my                       five points only (LFW's and the synthetic faces' lists)
    #<tab>path<tab>reason                                    a picture without a usable face

Points are left eye, right eye (as seen), nose tip, left and right mouth corner; 0-based, integers at pixel centres.
Spaces in place of tabs are read too.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from sphereslim.errors import SlimError

NUMBERS = (10, 15)


def found_line(path: str, box: Iterable[float], score: float, points: np.ndarray) -> str:
    """The line of a picture with its face."""
    numbers = [*(f'{value:.2f}' for value in box), f'{score:.5f}', *(f'{value:.2f}' for value in np.ravel(points))]
    return '\t'.join([path, *numbers]) + '\n'


def missing_line(path: str, reason: str) -> str:
    """The line of a picture without a usable face."""
    return f'#\t{path}\t{reason}\n'


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """({picture: points (5, 2)}, {picture: reason}) of a list. SlimError names an invalid line."""
    numbers, missing = read_numbers(path)
    return {picture: values[-10:].reshape(5, 2) for picture, values in numbers.items()}, missing


def read_numbers(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """As `read`, but with all 10 or 15 numbers of a picture in the order of the line."""
    found, missing = {}, {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.startswith('#\t'):
            picture, _, reason = line[2:].partition('\t')
            missing[picture] = reason
        elif line.strip():
            picture, values = _fields(line, f'{path}:{number}')
            found[picture] = values
    return found, missing


def continued(path: str | Path) -> set[str]:
    """Pictures that a list holds already; its last line is cut off if an interruption left it unfinished."""
    path = Path(path)
    if not path.exists():
        return set()
    content = path.read_bytes()
    whole = content.rfind(b'\n') + 1
    if whole < len(content):
        with open(path, 'r+b') as file:
            file.truncate(whole)
    points, missing = read(path)
    return set(points) | set(missing)


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise SlimError(f'{path}: cannot be read ({error.strerror})') from None
    except UnicodeDecodeError:
        raise SlimError(f'{path}: is no text, expected a list of landmarks') from None


def _fields(line: str, where: str) -> tuple[str, np.ndarray]:
    for count in sorted(NUMBERS, reverse=True):
        words = line.rsplit(maxsplit=count)
        values = _numbers(words[1:])
        if len(words) == count + 1 and values is not None and not _ends_in_number(words[0].strip()):
            return words[0].strip(), values
    raise SlimError(f"{where}: '{line[:60]}', expected a path and 10 or 15 numbers")


def _ends_in_number(path: str) -> bool:
    """Whether there is a number behind a tab in what should be a path: the line was cut off, or has too many."""
    return '\t' in path and _numbers([path.rpartition('\t')[2]]) is not None


def _numbers(words: Sequence[str]) -> np.ndarray | None:
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None
