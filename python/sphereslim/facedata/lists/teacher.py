"""What a face model says of pictures, kept for nets to learn from: of each as it is, and of blends of two.

A blend is half of either picture: a face that no camera saw. Nets see more people in blends than a folder has, and as
they belong to nobody, no label is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sphereslim.data.lists import write_taught
from sphereslim.data.pictures import read_picture
from sphereslim.errors import SlimError
from sphereslim.facedata.pictures import encode
from sphereslim.facedata.threads import Progress, in_threads
from sphereslim.files import write_bytes

BLENDS = 'blends'  # the name of their folders


@dataclass(frozen=True)
class Teacher:
    """A face model, `name` a digest of what it is: `directions(picture files)` (N, dimensions) of length 1.

    It sees `blends` of each picture with others too, made under the bar of `progress(results, total)`.
    """

    name: str
    directions: Callable[[Sequence[Path]], np.ndarray]
    blends: int = 0
    progress: Progress = lambda results, total: results

    def settings(self) -> dict[str, Any]:
        """What makes two teachers' words differ."""
        return {'teacher': self.name, **({'blends': self.blends} if self.blends else {})}

    def teach(self, faces: Path, pictures: Sequence[str], out: Path, cut: Callable[[np.ndarray], np.ndarray]) -> None:
        """Keep in `out` what it says of `pictures` below `faces` and of their blends; see `data.lists.Taught`.

        blends/ gets these whole, for the teacher, and aligned/blends/ what `cut` leaves of them; those that are there
        already stay. SlimError where two pictures are not of one size.
        """
        blends = draw_blends(pictures, self.blends)
        for _ in in_threads(partial(_blend, faces, out, cut), blends, self.progress):
            pass
        names = [name for name, _, _ in blends]
        said = [self.directions([faces / picture for picture in pictures])]
        if names:
            said.append(self.directions([out / name for name in names]))
        write_taught(out, [*pictures, *names], np.concatenate(said))


def draw_blends(pictures: Sequence[str], each: int, seed: int = 0) -> list[tuple[str, str, str]]:
    """[(name, picture, picture)]: `each` blends of every picture with others of the list, drawn at random."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(each):
        order = [pictures[place] for place in generator.permutation(len(pictures))]
        pairs = zip(order, order[1:] + order[:1], strict=True)
        found += [(f'{BLENDS}/{number}/{place:06d}.jpg', *pair) for place, pair in enumerate(pairs)]
    return found


def _blend(faces: Path, out: Path, cut: Callable[[np.ndarray], np.ndarray], blend: tuple[str, str, str]) -> None:
    name, *pair = blend
    cropped = out / 'aligned' / name
    if cropped.is_file():
        return
    first, second = (read_picture(faces / picture) for picture in pair)
    if first.shape != second.shape:
        raise SlimError(
            f'{faces / pair[1]}: is {second.shape[1]}x{second.shape[0]}, expected {first.shape[1]}x{first.shape[0]} '
            f'as {faces / pair[0]}, which it is to be blended with'
        )
    whole = cv2.addWeighted(first, 0.5, second, 0.5, 0)
    write_bytes(out / name, encode(whole, cropped.suffix))
    write_bytes(cropped, encode(cut(whole), cropped.suffix))
