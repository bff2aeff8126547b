"""LMDB files as our own reader finds them, damaged ones too."""

import os
import tempfile
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe.data.db import LmdbReader, new_database
from caffe.data.lmdb_file import LmdbFile
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.binary(min_size=1, max_size=400),
        st.one_of(st.binary(max_size=50), st.integers(1000, 20000).map(bytes)),
        min_size=1,
        max_size=150,
    )
)
def test_lmdb_files_are_read_as_the_library_reads_them(made):
    with tempfile.TemporaryDirectory() as folder:
        with new_database(f'{folder}/db', caffe_pb2.DataParameter.LMDB) as put:
            for key, value in made.items():
                put(key, value)
        assert [(key, fetch()) for key, fetch in LmdbFile(f'{folder}/db').records()] == sorted(made.items())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=20),
    st.integers(0, 60),
)
def test_a_damaged_lmdb_is_refused_or_read_but_never_fatal(damage, cut):
    with tempfile.TemporaryDirectory() as folder:
        with new_database(f'{folder}/db', caffe_pb2.DataParameter.LMDB) as put:
            for i in range(200):
                put(f'{i:08d}'.encode(), bytes(i * 20))
        path = Path(folder, 'db', 'data.mdb')
        content = bytearray(path.read_bytes())
        for page, offset, byte in damage:
            content[(page * 4096 + offset) % len(content)] = byte
        path.write_bytes(content[: len(content) - cut * 1000] if cut > 50 else content)
        try:
            read = [len(fetch()) for _, fetch in LmdbFile(f'{folder}/db').records()]
            assert len(read) <= 2**20
        except CaffeError as error:
            assert str(error).startswith(f'{folder}/db') and '\n' not in str(error)


def test_an_lmdb_that_ends_before_pages_that_were_freed_is_read(folder):
    # each transaction puts keys with values of that length, or deletes them
    transactions = (
        [('8', 10), ('8', None), ('1', 2500), ('1', None)],
        [('b', 20000), ('a', 2500)],
        [('b', None), ('c', 20000), ('d', 20000), ('c', None), ('e', 3), ('d', None)],
    )
    with lmdb.open('db', map_size=1 << 24) as database:
        for changes in transactions:
            with database.begin(write=True) as transaction:
                for key, length in changes:
                    if length is None:
                        transaction.delete(key.encode())
                    else:
                        transaction.put(key.encode(), bytes(length))
        stated = (database.info()['last_pgno'] + 1) * database.stat()['psize']
    assert os.path.getsize('db/data.mdb') < stated
    reader = LmdbReader('db')
    assert [(key, len(fetch())) for key, fetch in (reader.step(), reader.step())] == [(b'a', 2500), (b'e', 3)]
