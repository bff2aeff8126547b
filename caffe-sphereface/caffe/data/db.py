"""Databases of records: LMDB and LevelDB folders, read over and over, written whole or not at all."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar

import numpy as np

from caffe.data.lmdb_file import LmdbFile, Record
from caffe.errors import CaffeError, reason
from caffe.proto import caffe_pb2

Put = Callable[[bytes, bytes], None]  # puts a key and its value into a new database

_RECORDS_PER_COMMIT = 1000
_FIRST_MAP = 10 << 20
_LMDB, _LEVELDB = caffe_pb2.DataParameter.LMDB, caffe_pb2.DataParameter.LEVELDB
_AnyRecord = TypeVar('_AnyRecord')


class Reader(Protocol):
    """The records of a database, over and over; `count` is None where the database does not state it."""

    count: int | None

    def peek(self) -> Record:
        """(key, fetch) of the record that `step` gives next; `fetch()` reads its value, all bytes."""

    def step(self) -> Record:
        """`peek`, and move on to the next record."""


class LmdbReader:
    """The records of an LMDB in the order of their keys."""

    def __init__(self, path: str) -> None:
        self._file = LmdbFile(path)
        self.count: int | None = self._file.count
        self._records = self._file.records()
        self._record = _first(self._records, path)

    def peek(self) -> Record:
        """(key, fetch) of the record that `step` gives next; `fetch()` reads its value, all bytes."""
        return self._record

    def step(self) -> Record:
        """`peek`, and move on to the next record."""
        record = self._record
        following = next(self._records, None)
        if following is None:
            self._records = self._file.records()
            following = next(self._records)
        self._record = following
        return record


class LevelDbReader:
    """The records of a LevelDB in the order of their keys.

    LevelDB has no read-only mode: the reader works in a temporary folder of links to the tables, so that the database
    itself may be read-only and stays as it is.
    """

    count: int | None = None

    def __init__(self, path: str) -> None:
        plyvel = _plyvel(path)
        folder = tempfile.mkdtemp(prefix='caffe-leveldb-')
        weakref.finalize(self, _remove_own, folder, os.getpid())
        _link_leveldb(path, folder)
        try:
            self._database = plyvel.DB(folder)
            self._iterator = self._database.iterator()
            self._record = _first(self._iterator, path)
        except plyvel.Error as error:
            raise CaffeError(f'{path}: is not a readable LevelDB ({reason(error)})') from None
        self._corrupt, self._path = plyvel.Error, path

    def peek(self) -> Record:
        """(key, fetch) of the record that `step` gives next; `fetch()` is its value, all bytes."""
        return self._record[0], partial(bytes, self._record[1])

    def step(self) -> Record:
        """`peek`, and move on to the next record."""
        record = self.peek()
        try:
            self._record = next(self._iterator, None)
            if self._record is None:
                self._iterator.seek_to_start()
                self._record = next(self._iterator)
        except self._corrupt as error:
            raise CaffeError(f'{self._path}: cannot be read on after {record[0]!r} ({reason(error)})') from None
        return record


def _plyvel(path: str | Path) -> ModuleType:
    try:
        import plyvel
    except ImportError:
        raise CaffeError(
            f"{path}: LevelDB needs the package plyvel (pip install 'caffe-sphereface[leveldb]'), "
            'or convert the data to LMDB'
        ) from None
    return plyvel


def _lmdb(path: str | Path) -> ModuleType:
    try:
        import lmdb
    except ImportError:
        raise CaffeError(f'{path}: to write LMDB takes the package lmdb (pip install lmdb); reading does not') from None
    return lmdb


def _remove_own(folder: str, process: int) -> None:
    """Remove a folder where this is the process that made it, not a forked child of it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _link_leveldb(path: str, folder: str) -> None:
    try:
        names = os.listdir(path)
    except (OSError, ValueError) as error:
        raise CaffeError(f'{path}: is no LevelDB folder ({reason(error)})') from None
    if 'CURRENT' not in names:
        raise CaffeError(f'{path}: is no LevelDB folder (CURRENT is missing)')
    for name in names:
        source, target = os.path.join(os.path.abspath(path), name), os.path.join(folder, name)
        if name.endswith(('.ldb', '.sst')):
            os.symlink(source, target)
        elif name == 'CURRENT' or name.startswith('MANIFEST') or name.endswith('.log'):
            shutil.copyfile(source, target)


def _first(records: Iterator[_AnyRecord], path: str) -> _AnyRecord:
    first = next(records, None)
    if first is None:
        raise CaffeError(f'{path}: the database is empty, expected at least one record')
    return first


class ShuffledReader:
    """The records of an LMDB, each pass in a new random order."""

    def __init__(self, path: str, random: np.random.Generator) -> None:
        self._records = list(LmdbFile(path).records())
        _first(iter(self._records), path)
        self.count: int | None = len(self._records)
        self._random = random
        self._order: list[int] = []

    def peek(self) -> Record:
        """(key, fetch) of the record that `step` gives next; `fetch()` reads its value, all bytes."""
        if not self._order:
            self._order = self._random.permutation(len(self._records)).tolist()
        return self._records[self._order[-1]]

    def step(self) -> Record:
        """`peek`, and move on to the next record."""
        record = self.peek()
        self._order.pop()
        return record


def open_reader(path: str, backend: int, shuffled_by: np.random.Generator | None = None) -> Reader:
    """A reader of the database folder `path`; `backend` is DataParameter.LMDB or LEVELDB.

    CaffeError for a missing, damaged or empty database, at once or when the damage is reached, and for a LevelDB that
    is to be shuffled.
    """
    if shuffled_by is not None:
        if backend != _LMDB:
            raise CaffeError(f'{path}: has shuffle, which is for LMDB here; convert the database or take out shuffle')
        return ShuffledReader(path, shuffled_by)
    return LmdbReader(path) if backend == _LMDB else LevelDbReader(path)


def backend_named(name: str) -> int:
    """The DataParameter backend of 'lmdb' or 'leveldb'."""
    try:
        return {'lmdb': _LMDB, 'leveldb': _LEVELDB}[name.lower()]
    except KeyError:
        raise CaffeError(f"unknown database backend '{name}', expected lmdb or leveldb") from None


@contextmanager
def new_database(path: str | Path, backend: int) -> Iterator[Put]:
    """Yield `put(key, value)` (both bytes) for a new database folder that appears when the block ends well.

    CaffeError when `path` exists already or cannot be written; nothing is left behind then.
    """
    path = Path(path)
    if os.path.lexists(path):
        raise CaffeError(f'{path}: exists already, expected the name of a new database')
    temporary = None
    is_lmdb = backend == _LMDB
    library = _lmdb(path) if is_lmdb else _plyvel(path)
    writer: Callable[[ModuleType, str], AbstractContextManager[Put]] = _lmdb_writer if is_lmdb else _leveldb_writer
    try:
        temporary = tempfile.mkdtemp(dir=path.parent, prefix=f'.{path.name}.')
        os.chmod(temporary, 0o755)
        with writer(library, temporary) as put:
            yield put
        os.rename(temporary, path)
        temporary = None
    except OSError as error:
        raise CaffeError(f'{path}: cannot be written ({reason(error)})') from None
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _lmdb_writer(lmdb: ModuleType, folder: str) -> Iterator[Put]:
    pending: list[tuple[bytes, bytes]] = []

    def commit() -> None:
        while True:
            try:
                with environment.begin(write=True) as transaction:
                    for key, value in pending:
                        transaction.put(key, value)
                break
            except lmdb.MapFullError:
                environment.set_mapsize(2 * environment.info()['map_size'])
        pending.clear()

    def put(key: bytes, value: bytes) -> None:
        pending.append((key, value))
        if len(pending) == _RECORDS_PER_COMMIT:
            commit()

    try:
        with lmdb.open(folder, map_size=_FIRST_MAP, lock=False) as environment:
            yield put
            commit()
            environment.sync(True)
    except lmdb.Error as error:
        # LMDB reports a full disk as an input/output error
        raise OSError(f'{reason(error)}; is the disk full?') from None


@contextmanager
def _leveldb_writer(plyvel: ModuleType, folder: str) -> Iterator[Put]:
    os.rmdir(folder)
    database = plyvel.DB(folder, create_if_missing=True, error_if_exists=True)
    try:
        yield database.put
    except plyvel.Error as error:
        raise OSError(reason(error)) from None
    finally:
        database.close()
