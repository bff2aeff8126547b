"""Alignment of all faces of a landmark list."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.data.pictures import read_picture
from sphereslim.errors import SlimError
from sphereslim.facedata.alignment import landmarks
from sphereslim.facedata.alignment.align import align
from sphereslim.facedata.pictures import encode
from sphereslim.files import only_one, write_bytes

AT_ONCE = 4096  # pictures handed to the threads at a time


def align_list(
    folder: str | Path,
    listed: str | Path,
    out: str | Path,
    workers: int | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda results, total: results,
) -> tuple[int, dict[str, str]]:
    """Write 112×96 faces of the pictures of `folder` in the landmark list `listed` to the same paths below `out`.

    Faces that are there already and no older than their picture are kept. Returns (faces, {picture: why it has none}).
    `progress(results, total)` wraps the stream of finished pictures. Raises SlimError when the list cannot be used.
    """
    if not Path(folder).is_dir():
        raise SlimError(f'{folder}: no such folder of pictures')
    points, missing = landmarks.read(listed)
    if not points:
        raise SlimError(f'{listed}: no picture with a face in it')
    bad = dict(missing)
    with only_one(out), ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        try:
            for picture, why in progress(_all(pool, Path(folder), Path(out), points.items()), len(points)):
                if why:
                    bad[picture] = why
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if len(bad) == len(points) + len(missing):
        raise SlimError(
            f'{next(bad[picture] for picture in points)} (and none of the {len(points)} faces could be aligned)'
        )
    return len(points) + len(missing) - len(bad), bad


def _all(
    pool: ThreadPoolExecutor, folder: Path, out: Path, items: Iterable[tuple[str, np.ndarray]]
) -> Iterator[tuple[str, str | None]]:
    items = iter(items)
    while part := list(islice(items, AT_ONCE)):
        yield from pool.map(partial(_align, folder, out), part)


def _align(folder: Path, out: Path, item: tuple[str, np.ndarray]) -> tuple[str, str | None]:
    """(picture, None), or why it could not be aligned."""
    picture, points = item
    source, target = folder / picture, out / picture
    try:
        if not (target.is_file() and source.is_file() and target.stat().st_mtime >= source.stat().st_mtime):
            write_bytes(target, encode(align(read_picture(source), points), target.suffix))
    except SlimError as error:
        return picture, str(error)
    return picture, None
