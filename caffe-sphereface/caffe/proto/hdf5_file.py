"""HDF5 files: reading what may be damaged or claim more than it holds, and writing whole ones."""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from caffe.errors import CaffeError
from caffe.proto.files import read_bytes, write_bytes

# no filter of HDF5 makes data smaller than this (deflate's limit is 1032)
_MOST_COMPRESSION = 1100


@contextmanager
def open_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file open for reading; whatever HDF5 finds wrong inside the block is a CaffeError naming it."""
    try:
        with h5py.File(path, 'r') as file:
            yield file
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise CaffeError(f'{path}: is not a readable HDF5 file ({" ".join(str(error).split())})') from None


def is_hdf5(path: str | Path) -> bool:
    """Whether a file begins as an HDF5 file does; CaffeError where it cannot be read."""
    return read_bytes(path, 4) == b'\x89HDF'


@contextmanager
def whole_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file open for writing, which after the block is at `path`, whole or not at all.

    It is made in memory: the HDF5 library cannot give up a file that fails to be written (on a full disk it ends the
    process).
    """
    content = io.BytesIO()
    with h5py.File(content, 'w') as file:
        yield file
    # Python 3.12.1 crashes where a view that was not released ends up in an error's traceback
    with content.getbuffer() as view:
        write_bytes(path, view)


def write_rows(path: str | Path, rows: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a file, whole or not at all, of the datasets {name: array}, which can be appended to along their rows."""
    with whole_hdf5(path) as file:
        for name, values in rows.items():
            file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]))


def append_rows(path: str | Path, rows: Mapping[str, npt.NDArray[Any]]) -> None:
    """Append {name: array} to the datasets of a file by `write_rows`; CaffeError, and the file as before, if it cannot.

    Room on the disk is taken first, as HDF5 cannot run out of it without ending the process.
    """
    try:
        with h5py.File(path, 'r') as file:
            room = sum(_room(file[name], values) for name, values in rows.items())
        _reserve(path, room)
        with h5py.File(path, 'a') as file:
            for name, values in rows.items():
                dataset = file[name]
                dataset.resize(len(dataset) + len(values), axis=0)
                dataset[len(dataset) - len(values) :] = values
    except (OSError, RuntimeError, LookupError, ValueError, TypeError) as error:
        raise CaffeError(f'{path}: cannot be written ({" ".join(str(error).split())})') from None


def _room(dataset: h5py.Dataset, values: npt.NDArray[Any]) -> int:
    """Bytes, at most, by which a file grows for more rows: whole chunks, and their entries in nodes of the index."""
    later = (len(dataset) + len(values), *dataset.shape[1:])
    before, after = (prod(-(-n // c) for n, c in zip(shape, dataset.chunks)) for shape in (dataset.shape, later))
    return (after - before) * (prod(dataset.chunks) * dataset.dtype.itemsize + 1024) + 2**16


def _reserve(path: str | Path, room: int) -> None:
    """Let a file grow by `room` bytes, which HDF5 gives back on closing it; OSError, and no change, if it cannot."""
    with open(path, 'r+b') as file:
        size = os.fstat(file.fileno()).st_size
        try:
            os.posix_fallocate(file.fileno(), size, room)
        except OSError:
            file.truncate(size)
            raise


def read_array(
    group: h5py.Group, name: str, origin: str | Path, shape: Sequence[int] | None = None
) -> npt.NDArray[np.float32]:
    """The numbers of a dataset as float32.

    `origin` names file and layer in errors: CaffeError when the dataset is missing, when its shape is not `shape`
    (checked before anything is read), or when it claims more values than the file holds.
    """
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype.kind not in 'fiu':
        raise CaffeError(f"{origin}: has no dataset '{name}' of numbers")
    if shape is not None and dataset.shape != tuple(shape):
        raise CaffeError(f'{origin} has shape {dataset.shape}, the net expects {tuple(shape)}')
    claimed, stored = prod(dataset.shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if claimed > stored * (_MOST_COMPRESSION if dataset.chunks else 1):
        raise CaffeError(f"{origin}: dataset '{name}' claims shape {dataset.shape}, the file holds {stored} bytes")
    with np.errstate(over='ignore'):
        # without axes h5py gives a number in place of an array
        return np.asarray(dataset[()]).astype(np.float32, copy=False)


def read_number(group: h5py.Group, name: str, origin: str | Path) -> int:
    """The single whole number of a dataset, with or without axes."""
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1 or dataset.dtype.kind not in 'iu':
        raise CaffeError(f"{origin}: has no whole number '{name}'")
    return int(dataset[()].reshape(-1)[0])
