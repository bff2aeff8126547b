"""Detection over a whole folder: batches, processes, continuing."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2

from sphereslim.data.pictures import PictureError, read_picture
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.facedata.alignment import landmarks
from sphereslim.facedata.alignment.mtcnn.detector import Faces, detect, nearest_centre
from sphereslim.facedata.alignment.mtcnn.networks import Networks
from sphereslim.facedata.alignment.mtcnn.settings import Settings
from sphereslim.facedata.lists import folders
from sphereslim.files import only_one_at


@dataclass(frozen=True)
class Job:
    """Where the pictures and the weights are, and how to detect; `gpu` is a device number or None for the CPU."""

    folder: str
    weights: str
    settings: Settings = Settings()
    gpu: int | None = None


def detect_folder(
    job: Job,
    out: str | Path,
    batch: int = 16,
    workers: int = 1,
    progress: Callable[[Iterable[str], int, int], Iterable[str]] = lambda lines, total, done: lines,
) -> tuple[int, dict[str, str]]:
    """Append a line for every picture below `job.folder` that the landmark list `out` does not hold yet.

    Returns (pictures with a face, {picture: why it has none}) of the whole list. `progress(lines, total, done)` wraps
    the stream of lines, `done` of `total` pictures being there before. Raises SlimError for what stops all of it.
    """
    pictures = folders.pictures(job.folder)
    Worker(job)  # what is wrong with the networks or the GPU is said once, here
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with only_one_at(out):
        _continue(job, pictures, out, batch, workers, progress)
    points, missing = landmarks.read(out)
    return len(points), missing


def _continue(
    job: Job,
    pictures: Sequence[str],
    out: str | Path,
    batch: int,
    workers: int,
    progress: Callable[[Iterable[str], int, int], Iterable[str]],
) -> None:
    there = landmarks.continued(out)
    waiting = [picture for picture in pictures if picture not in there]
    batches = [waiting[start : start + batch] for start in range(0, len(waiting), batch)]
    with open(out, 'a', buffering=1) as file, _mapping(job, min(workers, len(batches))) as mapped:
        lines = (line for lines in mapped(batches) for line in lines)
        for line in progress(lines, len(pictures), len(pictures) - len(waiting)):
            file.write(line)


@contextmanager
def _mapping(job: Job, workers: int) -> Iterator[Callable[[Iterable[Sequence[str]]], Iterator[list[str]]]]:
    """A function batches -> lines of each batch, in order, here or in `workers` processes."""
    if workers <= 1:
        worker = Worker(job)
        yield lambda batches: map(worker.lines, batches)
        return
    # Fresh processes: forking one that already runs torch's threads can hang.
    pool = ProcessPoolExecutor(workers, get_context('spawn'), _start, (job,))
    try:
        yield lambda batches: pool.map(_lines, batches)
    except BrokenProcessPool:
        raise SlimError('a detecting process was killed; the same command continues') from None
    finally:
        pool.shutdown(cancel_futures=True)


class Worker:
    """Detects in batches of pictures with networks of its own."""

    def __init__(self, job: Job) -> None:
        if job.gpu is None:
            caffe.set_mode_cpu()
        else:
            caffe.set_device(job.gpu)
            caffe.set_mode_gpu()
        self.job, self.networks = job, Networks(job.weights)

    def lines(self, pictures: Sequence[str]) -> list[str]:
        """A line of the landmark list for each picture (path below the folder)."""
        images, broken = {}, {}
        for picture in pictures:
            try:
                images[picture] = read_picture(Path(self.job.folder) / picture)
            except PictureError as error:
                broken[picture] = str(error).removeprefix(f'{Path(self.job.folder) / picture}: ')
        faces = dict(zip(images, detect(self.networks, list(images.values()), self.job.settings)))
        return [
            landmarks.missing_line(picture, broken[picture])
            if picture in broken
            else _line(picture, faces[picture], images[picture].shape)
            for picture in pictures
        ]


def _line(picture: str, faces: Faces, shape: tuple[int, ...]) -> str:
    if not len(faces.scores):
        return landmarks.missing_line(picture, 'no face found')
    best = nearest_centre(faces, shape)
    return landmarks.found_line(picture, faces.boxes[best], faces.scores[best], faces.points[best])


_worker: Worker  # of a detecting process, made by _start


def _start(job: Job) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    cv2.setNumThreads(1)
    _worker = Worker(job)


def _lines(pictures: Sequence[str]) -> list[str]:
    return _worker.lines(pictures)


def one_thread_each() -> None:
    """Let processes started from here compute with a thread each: several share the cores between them."""
    os.environ['OMP_NUM_THREADS'] = '1'
