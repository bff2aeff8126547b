"""Real aligned faces brought into the form of a set of synthetic ones.

aligned/<Person>/<picture>   112×96 pictures of the people to train on and of those in the pairs
train.txt                    `path label` below aligned/, of people who are not in the pairs
pairs.txt                    the pairs
left_out.txt                 pictures that could not be used, and why
prepare.json                 the settings
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from sphereslim.data.pairs import people_of, read_pairs
from sphereslim.data.pictures import read_picture
from sphereslim.errors import SlimError
from sphereslim.facedata.alignment.crop import crop
from sphereslim.facedata.lists import folders, training_list
from sphereslim.facedata.pictures import encode
from sphereslim.files import check_claim, only_one, write_bytes, write_text


def prepare(
    faces: str | Path,
    pairs: str | Path,
    out: str | Path,
    min_pictures: int = 4,
    anchor: str = 'centre',
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda results, total: results,
) -> tuple[int, int, list[str]]:
    """Make the folder `out` from `faces` (a folder per person of aligned pictures) and `pairs` (LFW's form).

    Returns (people to train on, their pictures, lines about pictures left out). What is there already is kept, so that
    a run may be stopped and started again. `progress(results, total)` wraps the stream of finished people. Raises
    SlimError or SlimError when the input or `out` does not fit.
    """
    everyone, tested = folders.people(faces), people_of(pairs)
    used = read_pairs(pairs, faces).pictures
    training = training_list.choose(everyone, tested, min_pictures)
    if not training:
        raise SlimError(f'{faces}: nobody outside {pairs} has {min_pictures} pictures or more')
    out = Path(out)
    _claim(out, faces, pairs, min_pictures, anchor)
    wanted = {person: everyone[person] for person in everyone if person in training or person in tested}
    with only_one(out):
        bad = _crop_all(Path(faces), out / 'aligned', wanted, anchor, progress)
    _refuse_bad_pairs(bad, faces, used)
    kept = {person: [p for p in pictures if p not in bad] for person, pictures in training.items()}
    kept = training_list.choose(kept, min_pictures=min_pictures)
    if not kept:
        raise SlimError(f'{next(iter(bad.values()))} (and so no person is left to train on)')
    write_text(out / 'left_out.txt', ''.join(f'{line}\n' for line in bad.values()))
    write_bytes(out / 'pairs.txt', Path(pairs).read_bytes())
    write_text(out / 'train.txt', training_list.as_text(kept))
    return len(kept), sum(map(len, kept.values())), list(bad.values())


def _claim(out: Path, faces: str | Path, pairs: str | Path, min_pictures: int, anchor: str) -> None:
    """Note the settings in `out`, or refuse when it was made with others."""
    settings = {
        'faces': str(Path(faces).resolve()),
        'pairs': hashlib.sha256(Path(pairs).read_bytes()).hexdigest(),
        'min_pictures': min_pictures,
        'crop': anchor,
    }
    mark = out / 'prepare.json'
    check_claim(
        mark,
        json.loads(mark.read_text()) if mark.is_file() else None,
        settings,
        f'made of other faces, pairs or settings ({mark.name}); name another folder '
        '(--out; with run_all.sh DATA= for it and OUT= for its results) or remove it',
    )
    write_text(mark, json.dumps(settings, indent=1) + '\n')


def _crop_all(
    faces: Path,
    aligned: Path,
    people: Mapping[str, Sequence[str]],
    anchor: str,
    progress: Callable[[Iterable[Any], int], Iterable[Any]],
) -> dict[str, str]:
    """{picture: why it cannot be used} after writing all others."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = pool.map(partial(_crop_person, faces, aligned, anchor), people.values())
        try:
            return {picture: why for found in progress(jobs, len(people)) for picture, why in found}
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise


def _crop_person(faces: Path, aligned: Path, anchor: str, pictures: Sequence[str]) -> list[tuple[str, str]]:
    bad = []
    for picture in pictures:
        source, target = faces / picture, aligned / picture
        if target.is_file() and target.stat().st_mtime >= source.stat().st_mtime:
            continue
        try:
            _crop_file(source, target, anchor)
        except SlimError as error:
            bad.append((picture, str(error)))
    return bad


def _crop_file(source: Path, target: Path, anchor: str) -> None:
    image = read_picture(source)
    try:
        cut = crop(image, anchor)
    except SlimError as error:
        raise SlimError(f'{source}: {error}') from None
    # A picture that fits is copied as it is: encoding it again would lose quality.
    write_bytes(target, source.read_bytes() if cut.shape == image.shape else encode(cut, source.suffix))


def _refuse_bad_pairs(bad: Mapping[str, str], faces: str | Path, used: Iterable[Path]) -> None:
    for path in used:
        why = bad.get(path.relative_to(faces).as_posix())
        if why:
            raise SlimError(f'{why} (a picture of the pairs)')
