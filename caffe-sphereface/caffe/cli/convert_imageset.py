"""convert_imageset: a list of pictures into a database of Datums."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np

from caffe import log, random
from caffe.cli.flags import Flag, Spec, run
from caffe.data.datum import planes_to_datum
from caffe.data.db import backend_named, new_database
from caffe.data.picture_list import PictureList, read_list
from caffe.data.pictures import read_picture, read_small
from caffe.data.prefetch.worker_count import worker_count
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

_SOURCE = 'convert_imageset'
_AT_ONCE = 1000
_SPEC = Spec(
    'convert_imageset',
    'Put the pictures of a list (lines of "path label") as Datums into a new database. Keys are '
    'the eight-digit position and the path. A picture that cannot be read is reported and left out.',
    (
        Flag('gray', False, 'store grey pictures'),
        Flag('shuffle', False, 'mix the order of the pictures'),
        Flag('backend', 'lmdb', 'lmdb or leveldb'),
        Flag('resize_width', 0, 'width to resize to, 0 keeps it'),
        Flag('resize_height', 0, 'height to resize to, 0 keeps it'),
        Flag('check_size', False, 'stop when pictures differ in size'),
        Flag(
            'encoded', False, 'store files as they are, or encoded anew where they are resized or another type is asked'
        ),
        Flag('encode_type', '', 'how to encode: png, jpg, …; by default like the file'),
    ),
    (('ROOTFOLDER/', 'put in front of every path'), ('LISTFILE', 'the list'), ('DB_NAME', 'the new database')),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    return run(_SPEC, _convert, argv)


def _convert(flags: argparse.Namespace, positionals: list[str]) -> None:
    root, source, target = positionals
    if bool(flags.resize_width) != bool(flags.resize_height) or min(flags.resize_width, flags.resize_height) < 0:
        raise CaffeError(
            f'--resize_width {flags.resize_width} and --resize_height {flags.resize_height}: expected both or none'
        )
    listing, backend = read_list(source), backend_named(flags.backend)
    order = list(range(len(listing.paths)))
    if flags.shuffle:
        log.info(_SOURCE, 'Shuffling data')
        random.numpy_generator().shuffle(order)
    log.info(_SOURCE, f'A total of {len(order)} images.')
    with new_database(target, backend) as put, ThreadPoolExecutor(worker_count()) as pool:
        written, left_out = _write(order, listing, root, flags, pool, put)
        if not written:
            raise CaffeError(f'{source}: none of {len(order)} pictures could be read; the last: {left_out}')
    log.info(_SOURCE, f'Processed {len(order)} files, {written} in {target}.')


def _write(
    order: list[int],
    listing: PictureList,
    root: str,
    flags: argparse.Namespace,
    pool: ThreadPoolExecutor,
    put: Callable[[bytes, bytes], None],
) -> tuple[int, CaffeError | None]:
    """Put the pictures into the database in order; how many there were, and why the last one left out was."""
    written = 0
    shape: tuple[int, ...] | None = None
    left_out: CaffeError | None = None
    make = partial(_tried, listing, root, flags)
    for start in range(0, len(order), _AT_ONCE):
        chunk = order[start : start + _AT_ONCE]
        for position, index, made in zip(range(start, len(order)), chunk, pool.map(make, chunk)):
            if isinstance(made, CaffeError):
                left_out = made
                log.warning(_SOURCE, f'{listing.where(index)}: {made}; left out')
                continue
            datum, its_shape = made
            if flags.check_size and shape not in (None, its_shape):
                raise CaffeError(
                    f'{listing.where(index)}: {listing.paths[index]}: has size {its_shape}, '
                    f'the pictures before {shape}; expected the same'
                )
            shape = its_shape
            put(f'{position:08d}_{listing.paths[index]}'.encode(errors='surrogateescape'), datum.SerializeToString())
            written += 1
        if len(chunk) == _AT_ONCE:
            log.info(_SOURCE, f'Processed {start + _AT_ONCE} of {len(order)} files.')
    return written, left_out


def _tried(
    listing: PictureList, root: str, flags: argparse.Namespace, index: int
) -> tuple[caffe_pb2.Datum, tuple[int, ...]] | CaffeError:
    """What `_datum` gives for a picture of the list, or the CaffeError that it raises."""
    try:
        return _datum(root + listing.paths[index], int(listing.labels[index]), flags)
    except CaffeError as error:
        return error


def _datum(path: str, label: int, flags: argparse.Namespace) -> tuple[caffe_pb2.Datum, tuple[int, ...]]:
    """The Datum of a picture and its (height, width, channels)."""
    image = read_picture(path, not flags.gray, flags.resize_height, flags.resize_width)
    if not flags.encoded and not flags.encode_type:
        planes = image.transpose(2, 0, 1) if image.ndim == 3 else image[None]
        return planes_to_datum(planes, label), image.shape
    own = os.path.splitext(path)[1][1:].lower()
    kind = flags.encode_type or own
    same = _alike(kind, own) and not flags.gray and not flags.resize_height
    content = read_small(path) if same else _encode(image, kind, path)
    return caffe_pb2.Datum(data=content, label=label, encoded=True), image.shape


def _alike(kind: str, other: str) -> bool:
    return kind == other or {kind, other} == {'jpg', 'jpeg'}


def _encode(image: np.ndarray, kind: str, path: str) -> bytes:
    try:
        done, content = cv2.imencode(f'.{kind}', image)
    except cv2.error:
        done = False
    if not done:
        raise CaffeError(f"{path}: OpenCV cannot encode type '{kind}', expected png, jpg, … in --encode_type")
    return content.tobytes()


if __name__ == '__main__':
    sys.exit(main())
