"""Databases of records: LMDB and LevelDB folders, read round and round, written whole or not at all."""

import os
import shutil
import tempfile
import weakref
from contextlib import contextmanager
from pathlib import Path

import lmdb

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

_RECORDS_A_COMMIT = 1000
_FIRST_MAP = 10 << 20
_LMDB, _LEVELDB = caffe_pb2.DataParameter.LMDB, caffe_pb2.DataParameter.LEVELDB
_environments = weakref.WeakValueDictionary()


class _Environment:
    """An open LMDB environment. The library allows one a file and process, so that readers share it."""

    def __init__(self, path):
        try:
            self.env = lmdb.open(path, readonly=True, lock=False, max_readers=1)
            self.entries = self.env.stat()['entries']
            wanted = (self.env.info()['last_pgno'] + 1) * self.env.stat()['psize']
        except lmdb.Error as error:
            raise CaffeError(f'{path}: is not a readable LMDB ({error})') from None
        size = os.path.getsize(os.path.join(path, 'data.mdb'))
        if size < wanted:
            # reading a page behind the end would kill the process
            raise CaffeError(f'{path}: LMDB is truncated, data.mdb has {size} bytes, expected {wanted}')


def _environment(path):
    try:
        status = os.stat(os.path.join(path, 'data.mdb'))
    except OSError as error:
        raise CaffeError(f'{path}: is no LMDB folder (data.mdb: {error.strerror})') from None
    key = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
    environment = _environments.get(key)
    if environment is None:
        environment = _environments[key] = _Environment(path)
    return environment


class LmdbReader:
    """The records of an LMDB in the order of their keys, without copying them: values are memoryviews."""

    def __init__(self, path):
        self._environment = _environment(path)
        self.count = self._environment.entries
        self._transaction = self._environment.env.begin(buffers=True)
        self._cursor = self._transaction.cursor()
        _expect_records(self._cursor.first(), path)

    def peek(self):
        """(key as bytes, value) of the record that `step` gives next."""
        return bytes(self._cursor.key()), self._cursor.value()

    def step(self, keep=True):
        """`peek`, and move on to the next record; only move on unless `keep`."""
        record = self.peek() if keep else None
        if not self._cursor.next():
            self._cursor.first()
        return record


class LevelDbReader:
    """The records of a LevelDB in the order of their keys.

    LevelDB has no read-only mode: the reader works in a temporary folder of links to the tables, so that the database
    itself may be read-only and stays as it is.
    """

    def __init__(self, path):
        plyvel = _plyvel(path)
        self._folder = tempfile.TemporaryDirectory(prefix='caffe-leveldb-')
        _link_leveldb(path, self._folder.name)
        try:
            self._database = plyvel.DB(self._folder.name)
            self._iterator = self._database.iterator()
            self.count = None
            self._record = next(self._iterator, None)
        except plyvel.Error as error:
            raise CaffeError(f'{path}: is not a readable LevelDB ({error})') from None
        self._corrupt, self._path = plyvel.Error, path
        _expect_records(self._record, path)

    def peek(self):
        """(key, value) of the record that `step` gives next, both as bytes."""
        return self._record

    def step(self, keep=True):
        """`peek`, and move on to the next record."""
        record = self._record
        try:
            self._record = next(self._iterator, None)
            if self._record is None:
                self._iterator.seek_to_start()
                self._record = next(self._iterator)
        except self._corrupt as error:
            raise CaffeError(f'{self._path}: cannot be read on after {record[0]!r} ({error})') from None
        return record


def _plyvel(path):
    try:
        import plyvel
    except ImportError:
        raise CaffeError(f"{path}: LevelDB needs the package plyvel (pip install 'caffe-sphereface[leveldb]'), "
                         'or convert the data to LMDB') from None
    return plyvel


def _link_leveldb(path, folder):
    try:
        names = os.listdir(path)
    except OSError as error:
        raise CaffeError(f'{path}: is no LevelDB folder ({error.strerror})') from None
    if 'CURRENT' not in names:
        raise CaffeError(f'{path}: is no LevelDB folder (CURRENT is missing)')
    for name in names:
        source, target = os.path.join(os.path.abspath(path), name), os.path.join(folder, name)
        if name.endswith(('.ldb', '.sst')):
            os.symlink(source, target)
        elif name == 'CURRENT' or name.startswith('MANIFEST') or name.endswith('.log'):
            shutil.copyfile(source, target)


def _expect_records(first, path):
    if not first:
        raise CaffeError(f'{path}: the database is empty, expected at least one record')


def open_reader(path, backend):
    """A reader of the database folder `path`; `backend` is DataParameter.LMDB or LEVELDB.

    Readers have `count` (None where unknown), `peek()` and `step(keep=True)`, which wraps around. CaffeError for a
    missing, truncated or empty database.
    """
    return {_LMDB: LmdbReader, _LEVELDB: LevelDbReader}[backend](path)


def backend_named(name):
    """The DataParameter backend of 'lmdb' or 'leveldb'."""
    try:
        return {'lmdb': _LMDB, 'leveldb': _LEVELDB}[name.lower()]
    except KeyError:
        raise CaffeError(f"unknown database backend '{name}', expected lmdb or leveldb") from None


@contextmanager
def new_database(path, backend):
    """Yield `put(key, value)` (both bytes) for a new database folder that appears when the block ends well.

    CaffeError when `path` exists already or cannot be written; nothing is left behind then.
    """
    path = Path(path)
    if os.path.lexists(path):
        raise CaffeError(f'{path}: exists already, expected the name of a new database')
    temporary = None
    try:
        temporary = tempfile.mkdtemp(dir=path.parent, prefix=f'.{path.name}.')
        os.chmod(temporary, 0o755)
        with {_LMDB: _lmdb_writer, _LEVELDB: _leveldb_writer}[backend](temporary) as put:
            yield put
        os.rename(temporary, path)
        temporary = None
    except (OSError, lmdb.Error) as error:
        raise CaffeError(f'{path}: cannot be written ({getattr(error, "strerror", None) or error})') from None
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _lmdb_writer(folder):
    environment = lmdb.open(folder, map_size=_FIRST_MAP, lock=False)
    pending = []

    def commit():
        while True:
            try:
                with environment.begin(write=True) as transaction:
                    for key, value in pending:
                        transaction.put(key, value)
                break
            except lmdb.MapFullError:
                environment.set_mapsize(2 * environment.info()['map_size'])
        pending.clear()

    def put(key, value):
        pending.append((key, value))
        if len(pending) == _RECORDS_A_COMMIT:
            commit()

    try:
        yield put
        commit()
        environment.sync(True)
    finally:
        environment.close()


@contextmanager
def _leveldb_writer(folder):
    plyvel = _plyvel(folder)
    os.rmdir(folder)
    database = plyvel.DB(folder, create_if_missing=True, error_if_exists=True)
    try:
        yield database.put
    except plyvel.Error as error:
        raise OSError(str(error)) from None
    finally:
        database.close()
