"""Picture files for a net: finding them, drawing random samples of them, reading them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from sphereslim.data.pairs import people_of
from sphereslim.errors import SlimError
from sphereslim.files import read_text

ENDINGS = frozenset('.jpg .jpeg .jpe .png .bmp .pgm .ppm .pnm .tif .tiff .webp'.split())
if 'OPENCV_LOG_LEVEL' not in os.environ:
    # Lines of OpenCV's own would land in the progress bar; PictureError says which picture and why. OpenCV 4 and 5 name
    # the setter differently.
    (getattr(cv2, 'setLogLevel', None) or cv2.utils.logging.setLogLevel)(0)  # type: ignore[attr-defined]


class PictureError(SlimError):
    """A picture that cannot be used; the message names it and says why."""


def is_picture(path: str | Path) -> bool:
    """Whether the file's ending is that of a picture, and it is no hidden or unfinished file."""
    path = Path(path)
    return path.suffix.lower() in ENDINGS and not path.name.startswith('.')


def read_picture(path: str | Path, channels: int = 3) -> np.ndarray:
    """A picture file as uint8: (height, width, 3) BGR, or (height, width) for one of `channels`, upright.

    Grey becomes three equal channels, 16 bits become 8, CMYK becomes BGR, transparency is dropped and the orientation
    in the file (EXIF) is applied, all by OpenCV. PictureError for anything else, a picture cut short included.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise PictureError(f'{path}: cannot be read ({error.strerror})') from None
    if not len(content):
        raise PictureError(f'{path}: is empty')
    if _is_cut_short(content.tobytes()):
        raise PictureError(f'{path}: is cut short')
    image = _decode(content, cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise PictureError(f'{path}: is broken or no picture')
    return image


def _decode(content: np.ndarray, flag: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(content, flag)
    except cv2.error:  # a size OpenCV refuses
        return None


def _is_cut_short(content: bytes) -> bool:
    """Whether a JPEG lacks its end: OpenCV 4 fills the missing part with grey and says nothing."""
    return content[:2] == b'\xff\xd8' and content.find(b'\xff\xd9', content.rfind(b'\xff\xda')) < 0


def pictures_below(folder: str | Path) -> list[Path]:
    """Sorted paths of all pictures below `folder`, those in linked folders too.

    Each folder is read once, under its own name where it lies below `folder`. A link to a folder that was read, or
    that holds `folder` itself, is passed over.
    """
    seen = {_identity(parent) for parent in Path(folder).resolve().parents}
    found, starts = [], [str(folder)]
    for start in starts:  # which grows by the links that are met
        for here, inner, names in os.walk(start):
            if _identity(here) in seen:
                inner.clear()
                continue
            seen.add(_identity(here))
            found += [Path(here, name) for name in names if is_picture(name)]
            starts += sorted(path for name in inner if os.path.islink(path := os.path.join(here, name)))
    return sorted(found)


def _identity(folder: str | Path) -> tuple[int, int]:
    """What a folder has in common with every link to it."""
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def list_images(source: str | Path, count: int | None = None) -> list[Path]:
    """All paths, or `count` at most, evenly spread: the pictures below a folder, or those of a list file.

    A list's paths are from its own folder on. What follows the path in a line of the list, such as a
    label, is passed over. SlimError where there are none, and naming a line whose picture is missing.
    """
    source = Path(source)
    if source.is_dir():
        paths = pictures_below(source)
    elif source.is_file():
        lines = enumerate(read_text(source, 'a list of pictures').splitlines(), 1)
        paths = [_listed(source, number, line.strip()) for number, line in lines if line.strip()]
    else:
        raise SlimError(f'{source}: no such folder or list of images')
    if not paths:
        raise SlimError(f'{source}: no images')
    if count is None or count >= len(paths):
        return paths
    return [paths[i] for i in np.linspace(0, len(paths) - 1, count).round().astype(int)]


def sample_pictures(
    source: str | Path, counts: Sequence[int], seed: int = 0, not_in: str | Path | None = None
) -> list[tuple[Path, ...]]:
    """A tuple of paths for each of `counts`, no picture in two of them, drawn from a folder or a list file.

    The people of the pairs file `not_in` (folders of that name) stay out. SlimError where there are too few pictures.
    """
    paths = shuffled_pictures(source, seed, not_in)
    if len(paths) < len(counts):
        raise SlimError(f'{source}: {len(paths)} pictures to choose from, expected at least {len(counts)}')
    # where there are fewer than asked for, each sample shrinks by the same share, down to one
    share = min(1.0, len(paths) / sum(counts))
    sizes = [max(1, int(count * share)) for count in counts]
    while sum(sizes) > len(paths):
        sizes[np.argmax(sizes)] -= 1
    ends = np.cumsum([0, *sizes])
    return [tuple(paths[start:end]) for start, end in zip(ends, ends[1:])]


def shuffled_pictures(source: str | Path, seed: int = 0, not_in: str | Path | None = None) -> list[Path]:
    """All paths of a folder or a list file in random order, without the people of the pairs file `not_in`."""
    paths = list_images(source)
    if not_in:
        used = people_of(not_in)
        paths = [path for path in paths if Path(path).parent.name not in used]
    return [paths[i] for i in np.random.default_rng(seed).permutation(len(paths))]


def to_draw(paths: Sequence[Path], seed: int) -> list[Path]:
    """Paths in an order from which `shuffled_pictures` of a list with this seed gives them as they are here."""
    places = np.random.default_rng(seed).permutation(len(paths))
    return [paths[place] for place in np.argsort(places)]


def _listed(source: Path, number: int, line: str) -> Path:
    """The picture in a line of the list `source`, which may be followed by a label."""
    for words in (line, line.rsplit(maxsplit=1)[0], line.split()[0]):
        if _is_file(source.parent / words):
            return source.parent / words
    raise SlimError(f"{source}:{number}: '{line[:80]}': no such picture, expected a path from {source.parent}/ on")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False
