"""A folder of synthetic faces: pictures, landmarks, training list and pairs.

raw/<Name>/<Name>_0001.jpg       250×250 pictures
aligned/<Name>/<Name>_0001.jpg   112×96 crops of them
landmarks.txt                    `path x1 y1 … x5 y5`, paths below raw/, pixels 0-based (see facedata.align)
train.txt                        `path label`, paths below aligned/, labels from 0: the people to train on
pairs.txt                        LFW's form, over the other people
faces.json                       the settings; written last, so it marks a finished set
"""

import json
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sphereslim.data.pictures import read_picture
from sphereslim.errors import SlimError
from sphereslim.facedata.alignment.align import align
from sphereslim.facedata.lists import pairs
from sphereslim.facedata.pictures import encode
from sphereslim.facedata.synthetic import names
from sphereslim.facedata.synthetic.identity import Person, sample_person
from sphereslim.facedata.synthetic.render import SIZE, landmarks, render
from sphereslim.facedata.synthetic.view import sample_view
from sphereslim.files import only_one, write_bytes, write_text

RENDERER = 2  # counts up when the same settings give other pictures
Role = tuple[str, tuple[int, ...], int]  # name, stream of random numbers, number of pictures
FINISHED, STARTED = 'faces.json', 'faces.started.json'


@dataclass(frozen=True)
class Settings:
    """What makes a set; two sets of equal settings are equal byte for byte."""

    people: int = 400  # to train on
    pictures: int = 6  # of each of them
    test_people: int = 100
    test_pictures: int = 6
    folds: int = 10
    pairs: int = 150  # matched ones per fold, and as many mismatched
    seed: int = 1

    def check(self) -> None:
        """Raises SlimError naming the setting that makes no sense."""
        for name, value in asdict(self).items():
            least = 0 if name == 'seed' else 1
            if value < least:
                raise SlimError(f'{name} is {value}, expected at least {least}')


def is_finished(out: str | Path, settings: Settings) -> bool:
    """Whether `out` holds the whole set of these settings. Raises SlimError if it holds something else."""
    out = Path(out)
    if out.is_dir() and any(out.iterdir()):
        marks = [out / mark for mark in (FINISHED, STARTED) if (out / mark).is_file()]
        if not marks:
            raise SlimError(f'{out}: holds other files; name an empty or new folder')
        _check_same(marks[0], settings)
        return marks[0].name == FINISHED
    return False


def make(
    out: str | Path,
    settings: Settings,
    workers: int = 1,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda results, total: results,
) -> None:
    """Write the set into folder `out`, continuing where an interrupted run stopped.

    `workers` processes render; `progress(results, total)` wraps the stream of finished people.
    Raises SlimError for impossible settings or a folder that holds something else, SlimError where another process
    makes it, OSError if it cannot be written.
    """
    settings.check()
    out, cast = Path(out), _cast(settings)
    folds = pairs.draw(
        [name for name, _, _ in cast[settings.people :]],
        settings.test_pictures,
        settings.folds,
        settings.pairs,
        np.random.default_rng((settings.seed, 2)),
    )
    if is_finished(out, settings):
        return
    write_text(out / STARTED, _mark(settings))
    with only_one(out):
        lines = list(progress(_map(partial(_person, out), cast, workers), len(cast)))
        write_text(out / 'landmarks.txt', ''.join(line for person in lines for line in person))
        write_text(out / 'train.txt', _training_list(cast[: settings.people]))
        write_text(out / 'pairs.txt', pairs.as_text(folds))
        write_text(out / FINISHED, _mark(settings))
        (out / STARTED).unlink()


def _training_list(cast: Sequence[Role]) -> str:
    return ''.join(
        f'{names.picture(name, number)} {label}\n'
        for label, (name, _, count) in enumerate(cast)
        for number in range(1, count + 1)
    )


def _mark(settings: Settings) -> str:
    return json.dumps({'renderer': RENDERER, **asdict(settings)}, indent=1) + '\n'


def _check_same(mark: Path, settings: Settings) -> None:
    try:
        found = json.loads(mark.read_text())
    except ValueError:
        raise SlimError(f'{mark}: not the settings of a set of faces; remove the folder') from None
    for key, value in json.loads(_mark(settings)).items():
        if found.get(key) != value:
            raise SlimError(
                f'{mark.parent}: holds faces with {key} {found.get(key)}, expected {value}; '
                'name another folder or remove this one'
            )


def _map(job: Callable[[Role], list[str]], items: Iterable[Role], workers: int) -> Iterator[list[str]]:
    """job(item) for each item, in order, by `workers` processes."""
    if workers == 1:
        yield from map(job, items)
        return
    # Fresh processes: forking one that already runs OpenCV's or torch's threads can hang.
    pool = ProcessPoolExecutor(workers, mp_context=get_context('spawn'), initializer=_start_worker)
    try:
        yield from pool.map(job, items)
    except BrokenProcessPool:
        raise SlimError('a rendering process was killed; the same command continues') from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    cv2.setNumThreads(1)


def _cast(settings: Settings) -> list[Role]:
    """(name, stream of random numbers, number of pictures) of everyone, the people to train on first.

    Test people have streams of their own, so that they stay the same whatever the number of people to train on.
    """
    everyone = names.made_up(settings.people + settings.test_people, settings.seed)
    streams = [
        *((settings.seed, 3, k) for k in range(settings.people)),
        *((settings.seed, 4, k) for k in range(settings.test_people)),
    ]
    pictures = [settings.pictures] * settings.people + [settings.test_pictures] * settings.test_people
    return list(zip(everyone, streams, pictures))


def _person(out: Path, role: Role) -> list[str]:
    """Write one person's pictures that are not there yet; returns the lines of landmarks.txt."""
    name, stream, count = role
    person = sample_person(np.random.default_rng((*stream, 0)))
    return [_picture(out, person, (*stream, number), names.picture(name, number)) for number in range(1, count + 1)]


def _picture(out: Path, person: Person, stream: tuple[int, ...], path: str) -> str:
    view = sample_view(np.random.default_rng(stream), person.habit_glasses, SIZE)
    raw, aligned = out / 'raw' / path, out / 'aligned' / path
    points = np.round(landmarks(person, view), 2)
    if not (raw.is_file() and aligned.is_file()):
        write_bytes(raw, encode(render(person, view), '.jpg'))
        # From the picture as stored, so that aligning the raw folder again gives these very crops.
        write_bytes(aligned, encode(align(read_picture(raw), points), '.jpg'))
    return f'{path} ' + ' '.join(f'{value:.2f}' for value in points.ravel()) + '\n'
