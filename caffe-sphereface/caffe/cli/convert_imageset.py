"""convert_imageset and convert_annoset: lists of pictures into databases of Datums and AnnotatedDatums."""

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
from caffe.data.annotated.annotation_files import read_boxes, read_label_map
from caffe.data.annotated.annotations import annotated
from caffe.data.datum import planes_to_datum
from caffe.data.db import backend_named, new_database
from caffe.data.picture_list import AnnotatedList, PathList, PictureList, read_annotated_list, read_list
from caffe.data.pictures import read_picture, read_small
from caffe.data.prefetch.worker_count import worker_count
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

_SOURCE = 'convert_imageset'
_AT_ONCE = 1000
_FLAGS = (
    Flag('gray', False, 'store grey pictures'),
    Flag('shuffle', False, 'mix the order of the pictures'),
    Flag('backend', 'lmdb', 'lmdb or leveldb'),
    Flag('resize_width', 0, 'width to resize to, 0 keeps it'),
    Flag('resize_height', 0, 'height to resize to, 0 keeps it'),
    Flag('check_size', False, 'stop when pictures differ in size'),
    Flag('encoded', False, 'store files as they are, or encoded anew where they are resized or another type is asked'),
    Flag('encode_type', '', 'how to encode: png, jpg, …; by default like the file'),
)
_POSITIONALS = (
    ('ROOTFOLDER/', 'put in front of every path'),
    ('LISTFILE', 'the list'),
    ('DB_NAME', 'the new database'),
)
_SPEC = Spec(
    'convert_imageset',
    'Put the pictures of a list (lines of "path label") as Datums into a new database. Keys are '
    'the eight-digit position and the path. A picture that cannot be read is reported and left out.',
    _FLAGS,
    _POSITIONALS,
)
_ANNOSET = Spec(
    'convert_annoset',
    'Put the pictures of a list (lines of "picture boxes", both paths) with the boxes of their objects as '
    'AnnotatedDatums into a new database, for AnnotatedData layers. Boxes are in the .xml of Pascal VOC, or in .txt '
    'files of lines "label xmin ymin xmax ymax" in pixels. A picture that cannot be read is reported and left out.',
    (
        *_FLAGS,
        Flag('label_map_file', '', 'a prototxt with an item { name: … label: … } for each name in .xml files'),
        Flag('anno_type', 'detection', 'what the list states; detection is the only one'),
    ),
    _POSITIONALS,
)
# what becomes of the picture of that index: its record, and its (height, width, channels)
_Made = tuple[caffe_pb2.Datum | caffe_pb2.AnnotatedDatum, tuple[int, ...]]
_Make = Callable[[int], _Made]


def main(argv: Sequence[str] | None = None) -> int:
    """Run convert_imageset's command line; the exit status."""
    return run(_SPEC, _convert, argv)


def annoset(argv: Sequence[str] | None = None) -> int:
    """Run convert_annoset's command line; the exit status."""
    return run(_ANNOSET, _convert_annotated, argv)


def _convert(flags: argparse.Namespace, positionals: list[str]) -> None:
    root, source, target = positionals
    _check_resize(flags)
    listing = read_list(source)
    _store(target, listing, partial(_labelled, listing, root, flags), flags)


def _convert_annotated(flags: argparse.Namespace, positionals: list[str]) -> None:
    root, source, target = positionals
    _check_resize(flags)
    if flags.anno_type != 'detection':
        raise CaffeError(f"--anno_type '{flags.anno_type}': expected detection (convert_imageset stores labels)")
    listing = read_annotated_list(source)
    labels = read_label_map(flags.label_map_file) if flags.label_map_file else None
    _store(target, listing, partial(_annotated, listing, root, labels, flags), flags)


def _check_resize(flags: argparse.Namespace) -> None:
    if bool(flags.resize_width) != bool(flags.resize_height) or min(flags.resize_width, flags.resize_height) < 0:
        raise CaffeError(
            f'--resize_width {flags.resize_width} and --resize_height {flags.resize_height}: expected both or none'
        )


def _store(target: str, listing: PathList, make: _Make, flags: argparse.Namespace) -> None:
    """Put what `make` gives for each picture of the list into a new database."""
    backend = backend_named(flags.backend)
    order = list(range(len(listing.paths)))
    if flags.shuffle:
        log.info(_SOURCE, 'Shuffling data')
        random.numpy_generator().shuffle(order)
    log.info(_SOURCE, f'A total of {len(order)} images.')
    with new_database(target, backend) as put, ThreadPoolExecutor(worker_count()) as pool:
        written, left_out = _write(order, listing, make, flags.check_size, pool, put)
        if not written:
            raise CaffeError(f'{listing.source}: none of {len(order)} pictures could be read; the last: {left_out}')
    log.info(_SOURCE, f'Processed {len(order)} files, {written} in {target}.')


def _write(
    order: list[int],
    listing: PathList,
    make: _Make,
    check_size: bool,
    pool: ThreadPoolExecutor,
    put: Callable[[bytes, bytes], None],
) -> tuple[int, CaffeError | None]:
    """Put the pictures into the database in order; how many there were, and why the last one left out was."""
    written = 0
    shape: tuple[int, ...] | None = None
    left_out: CaffeError | None = None
    for start in range(0, len(order), _AT_ONCE):
        chunk = order[start : start + _AT_ONCE]
        for position, index, made in zip(range(start, len(order)), chunk, pool.map(partial(_tried, make), chunk)):
            if isinstance(made, CaffeError):
                left_out = made
                log.warning(_SOURCE, f'{listing.where(index)}: {made}; left out')
                continue
            datum, its_shape = made
            if check_size and shape not in (None, its_shape):
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


def _tried(make: _Make, index: int) -> _Made | CaffeError:
    """What `make` gives for a picture of the list, or the CaffeError that it raises."""
    try:
        return make(index)
    except CaffeError as error:
        return error


def _labelled(listing: PictureList, root: str, flags: argparse.Namespace, index: int) -> _Made:
    return _datum(root + listing.paths[index], int(listing.labels[index]), flags)


def _annotated(
    listing: AnnotatedList, root: str, labels: dict[str, int] | None, flags: argparse.Namespace, index: int
) -> _Made:
    objects = read_boxes(root + listing.annotations[index], labels)
    path = root + listing.paths[index]
    datum, shape = _datum(path, 0, flags)
    height, width = (read_picture(path).shape if flags.resize_height else shape)[:2]
    return annotated(datum, objects, height, width), shape


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
