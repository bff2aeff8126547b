"""pairs.txt of LFW's view 2: reading it, and writing a shorter one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sphereslim.errors import SlimError
from sphereslim.files import read_text, write_bytes

_ENDINGS = ('.jpg', '.png', '.jpeg', '.bmp', '.pgm', '.ppm', '.JPG', '.PNG')


@dataclass(frozen=True)
class Pairs:
    """`pictures`: paths in order of first use; `left`, `right`: indices into them; `same`: bools; `fold`: numbers."""

    pictures: tuple[Path, ...]
    left: np.ndarray
    right: np.ndarray
    same: np.ndarray
    fold: np.ndarray


@dataclass(frozen=True)
class PairSet:
    """Pairs to verify on: the file `pairs` in LFW's form over the folder `pictures`, and a `name` for tables."""

    name: str
    pairs: Path
    pictures: Path


def pair_sets(pairs: Sequence[str | Path], pictures: Sequence[str | Path]) -> list[PairSet]:
    """A PairSet of each pairs file, named after it; `pictures` are a folder for each of them, or one for all.

    Files of the same name are told apart by their folder. SlimError for another number of folders, or the same file
    twice.
    """
    paths = [Path(path) for path in pairs]
    if len(pictures) not in (1, len(paths)):
        raise SlimError(f'{len(pictures)} folders of pictures for {len(paths)} lists of pairs, expected one for each')
    folders = [Path(folder) for folder in pictures] * (len(paths) if len(pictures) == 1 else 1)
    stems = [path.stem for path in paths]
    names = [path.stem if stems.count(path.stem) == 1 else f'{path.parent.name}-{path.stem}' for path in paths]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise SlimError(f'pairs {twice}: given twice, expected different lists')
    return [PairSet(*entry) for entry in zip(names, paths, folders)]


def read_pairs(path: str | Path, folder: str | Path) -> Pairs:
    """The Pairs of a file in LFW's form over pictures `folder/<Name>/<Name>_0001.jpg` (any common ending).

    Header `folds count`, or `count` for a single fold; then each fold's matched pairs `name i j` and its mismatched
    ones `name1 i name2 j`. SlimError names the line of a bad pair, or the picture that is missing.
    """
    rows, count = _read(path)
    index: dict[tuple[str, int], int] = {}
    numbers = [[index.setdefault(name, len(index)) for name in names] for names in rows]
    pictures = tuple(_find(Path(folder), *name) for name in index)
    left, right = np.array(numbers).T
    order = np.arange(len(rows))
    return Pairs(pictures, left, right, order % (2 * count) < count, order // (2 * count))


def people_of(path: str | Path) -> set[str]:
    """The set of names of all people in a pairs file. SlimError as `read_pairs`, but no picture is looked for."""
    return {person for names in _read(path)[0] for person, _ in names}


def _read(path: str | Path) -> tuple[list[tuple[tuple[str, int], tuple[str, int]]], int]:
    """([((person, number), (person, number)) of each pair], matched pairs per fold) of a pairs file."""
    _, count, lines = pair_lines(path)
    return [
        _names(path, number, words, same=place % (2 * count) < count) for place, (number, words) in enumerate(lines)
    ], count


def pair_lines(path: str | Path) -> tuple[int, int, list[tuple[int, list[str]]]]:
    """(folds, matched pairs per fold, [(line number, words) of each pair]) of a pairs file, as many as promised."""
    lines = [
        (number, line.split())
        for number, line in enumerate(read_text(path, 'a list of pairs').splitlines(), 1)
        if line.strip()
    ]
    if not lines:
        raise SlimError(f'{path}: is empty, expected a header and pairs')
    folds, count = _header(path, *lines[0])
    if len(lines) != 1 + 2 * folds * count:
        raise SlimError(f'{path}: {len(lines) - 1} pairs, its header promises {folds} folds of 2 x {count}')
    return folds, count, lines[1:]


def _header(path: str | Path, line: int, words: Sequence[str]) -> tuple[int, int]:
    numbers = [int(word) for word in words if word.isdecimal()]
    if len(numbers) != len(words) or len(words) not in (1, 2) or not all(numbers):
        raise SlimError(f"{path}:{line}: '{' '.join(words)[:60]}', expected `folds count` in whole numbers")
    return (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def _names(path: str | Path, line: int, words: Sequence[str], same: bool) -> tuple[tuple[str, int], tuple[str, int]]:
    """((person, number), (person, number)) of one pair."""
    numbers = words[1:] if same else words[1::2]
    if len(words) != (3 if same else 4) or not all(n.isdecimal() for n in numbers):
        expected = '`name i j` (a matched pair)' if same else '`name1 i name2 j` (a mismatched pair)'
        raise SlimError(f"{path}:{line}: '{' '.join(words)[:60]}', expected {expected}")
    return ((words[0], int(words[1])), (words[0] if same else words[2], int(words[-1])))


def _find(folder: Path, person: str, number: int) -> Path:
    stem = folder / person / f'{person}_{number:04d}'
    for ending in _ENDINGS:
        if stem.with_suffix(ending).is_file():
            return stem.with_suffix(ending)
    raise SlimError(f'{stem}.jpg: no such picture (nor with another ending), but pairs use it')


@dataclass(frozen=True)
class Folds:
    """Folds of the pairs file `path`, numbered from 1, `folds` None for all; `prefix` stands before its people."""

    path: Path
    folds: tuple[int, ...] | None = None
    prefix: str = ''

    def people(self) -> set[str]:
        """The names in these folds, without the prefix."""
        _, count, lines = pair_lines(self.path)
        start, found = 2 * count, set()
        for fold in self._numbers():
            for place, (number, words) in enumerate(lines[start * (fold - 1) : start * fold]):
                found |= {person for person, _ in _names(self.path, number, words, same=place < count)}
        return found

    def lines(self, count: int) -> list[str]:
        """The first `count` matched and as many mismatched pairs of each fold, under the prefixed names."""
        _, whole, lines = pair_lines(self.path)
        halves = [2 * (fold - 1) + half for fold in self._numbers() for half in (0, 1)]
        chosen = [words for half in halves for _, words in lines[half * whole : half * whole + count]]
        return ['\t'.join(_prefixed(words, self.prefix)) for words in chosen]

    @property
    def count(self) -> int:
        """Matched pairs of a fold."""
        return pair_lines(self.path)[1]

    def _numbers(self) -> Sequence[int]:
        whole = pair_lines(self.path)[0]
        numbers = self.folds or tuple(range(1, whole + 1))
        if max(numbers) > whole:
            raise SlimError(f'{self.path}: has {whole} folds, not {max(numbers)}')
        return numbers


def _prefixed(words: Sequence[str], prefix: str) -> list[str]:
    """The words of a pair's line with a prefix before its one name or its two."""
    names = (0,) if len(words) == 3 else (0, 2)
    return [f'{prefix}{word}' if place in names else word for place, word in enumerate(words)]


def write_joined(parts: Sequence[Folds], path: str | Path) -> Path:
    """Write the folds of several pairs files as one file, each of as many pairs as the smallest fold has."""
    count = min(part.count for part in parts)
    lines = [part.lines(count) for part in parts]
    folds = sum(map(len, lines)) // (2 * count)
    write_bytes(Path(path), '\n'.join([f'{folds}\t{count}', *(line for part in lines for line in part), '']).encode())
    return Path(path)


def write_few(source: str | Path, path: str | Path, folds: int = 2, count: int = 100) -> Path:
    """Write `folds` folds of `count` matched and as many mismatched pairs from the pairs file `source` to `path`."""
    whole_folds, whole_count, lines = pair_lines(source)
    if not 1 < folds <= whole_folds or not 0 < count <= whole_count:
        raise SlimError(f'{source}: {whole_folds} folds of 2 x {whole_count} pairs, cannot take {folds} of 2 x {count}')
    starts = [half * whole_count for half in range(2 * folds)]
    chosen = ['\t'.join(words) for start in starts for _, words in lines[start : start + count]]
    write_bytes(Path(path), '\n'.join([f'{folds}\t{count}', *chosen, '']).encode())
    return Path(path)
