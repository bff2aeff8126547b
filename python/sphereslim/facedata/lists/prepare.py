"""Real aligned faces brought into the form of a set of synthetic ones.

aligned/<Person>/<picture>   112×96 pictures of the people to train on and of those in the pairs, or larger by a border
train.txt                    `path label` below aligned/, of people who are not in the pairs
pairs.txt                    the pairs
unlabelled.txt teacher.npy   where a teacher is given: see `data.lists.Taught`
blends/ aligned/blends/      where the teacher sees blends too: see `teacher`
left_out.txt                 pictures that could not be used, and why
prepare.json                 the settings
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.data.pairs import people_of, read_pairs
from sphereslim.data.pictures import read_picture
from sphereslim.errors import SlimError
from sphereslim.facedata.alignment.crop import crop
from sphereslim.facedata.lists import folders, training_list
from sphereslim.facedata.lists.teacher import Teacher
from sphereslim.facedata.pictures import encode
from sphereslim.facedata.threads import Progress, in_threads
from sphereslim.files import check_claim, only_one, write_bytes, write_text


def prepare(
    faces: str | Path,
    pairs: str | Path,
    out: str | Path,
    min_pictures: int = 4,
    anchor: str = 'centre',
    progress: Progress = lambda results, total: results,
    border: int = 0,
    teacher: Teacher | None = None,
) -> tuple[int, int, list[str]]:
    """Make the folder `out` from `faces` (a folder per person of aligned pictures) and `pairs` (LFW's form).

    Returns (people to train on, their pictures, lines about pictures left out). What is there already is kept, so that
    a run may be stopped and started again. `progress(results, total)` wraps the stream of finished people. Pictures
    keep `border` pixels on every side, to be cut at random places in training. With a `teacher` its directions of all
    pictures that are in no pair are kept, whoever is in them. SlimError when the input or `out` does not fit.
    """
    everyone, tested = folders.people(faces), people_of(pairs)
    used = read_pairs(pairs, faces).pictures
    training = training_list.choose(everyone, tested, min_pictures)
    if not training:
        raise SlimError(f'{faces}: nobody outside {pairs} has {min_pictures} pictures or more')
    out = Path(out)
    _claim(out, faces, pairs, min_pictures, anchor, border, teacher)
    unlabelled = training_list.choose(everyone, tested) if teacher else {}
    wanted = {person: everyone[person] for person in everyone if person in {*training, *tested, *unlabelled}}
    cut = partial(crop, anchor=anchor, border=border)
    with only_one(out):
        found = in_threads(partial(_crop_person, Path(faces), out / 'aligned', cut), list(wanted.values()), progress)
        bad = {picture: why for person in found for picture, why in person}
    _refuse_bad_pairs(bad, faces, used)
    kept = {person: [p for p in pictures if p not in bad] for person, pictures in training.items()}
    kept = training_list.choose(kept, min_pictures=min_pictures)
    if not kept:
        raise SlimError(f'{next(iter(bad.values()))} (and so no person is left to train on)')
    write_text(out / 'left_out.txt', ''.join(f'{line}\n' for line in bad.values()))
    write_bytes(out / 'pairs.txt', Path(pairs).read_bytes())
    write_text(out / 'train.txt', training_list.as_text(kept))
    if teacher:
        pictures = [picture for person in unlabelled.values() for picture in person if picture not in bad]
        teacher.teach(Path(faces), pictures, out, cut)
    return len(kept), sum(map(len, kept.values())), list(bad.values())


def _claim(
    out: Path,
    faces: str | Path,
    pairs: str | Path,
    min_pictures: int,
    anchor: str,
    border: int,
    teacher: Teacher | None,
) -> None:
    """Note the settings in `out`, or refuse when it was made with others."""
    settings: dict[str, Any] = {
        'faces': str(Path(faces).resolve()),
        'pairs': hashlib.sha256(Path(pairs).read_bytes()).hexdigest(),
        'min_pictures': min_pictures,
        'crop': anchor,
        **({'border': border} if border else {}),
        **(teacher.settings() if teacher else {}),
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


def _crop_person(
    faces: Path, aligned: Path, cut: Callable[[np.ndarray], np.ndarray], pictures: Sequence[str]
) -> list[tuple[str, str]]:
    """[(picture, why it cannot be used)] after writing all others."""
    bad = []
    for picture in pictures:
        source, target = faces / picture, aligned / picture
        if target.is_file() and target.stat().st_mtime >= source.stat().st_mtime:
            continue
        try:
            _crop_file(source, target, cut)
        except SlimError as error:
            bad.append((picture, str(error)))
    return bad


def _crop_file(source: Path, target: Path, cut: Callable[[np.ndarray], np.ndarray]) -> None:
    image = read_picture(source)
    try:
        part = cut(image)
    except SlimError as error:
        raise SlimError(f'{source}: {error}') from None
    # A picture that fits is copied as it is: encoding it again would lose quality.
    write_bytes(target, source.read_bytes() if part.shape == image.shape else encode(part, source.suffix))


def _refuse_bad_pairs(bad: Mapping[str, str], faces: str | Path, used: Iterable[Path]) -> None:
    for path in used:
        why = bad.get(path.relative_to(faces).as_posix())
        if why:
            raise SlimError(f'{why} (a picture of the pairs)')
