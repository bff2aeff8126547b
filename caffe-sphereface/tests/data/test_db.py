"""LMDB and LevelDB databases and the Data layer."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from repository import SHARED

import caffe
from caffe.data.db import backend_named, new_database, open_reader
from caffe.errors import CaffeError
from caffe.parallel.rank import set_shard
from caffe.proto import caffe_pb2
from databases import net, planes, seven, write

FILES = SHARED / 'goldens' / 'files'

try:
    import plyvel  # noqa: F401

    LEVELDB = 'LEVELDB'
except ImportError:
    LEVELDB = pytest.param('LEVELDB', marks=pytest.mark.skip(reason='plyvel is not installed'))

BACKENDS = ['LMDB', LEVELDB]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data_net(source='db', backend='LMDB', batch=3, transform='', phase=caffe.TEST, tops='top: "data" top: "label"'):
    return net(
        f'''layer {{ name: "d" type: "Data" {tops} transform_param {{ {transform} }}
                   data_param {{ source: "{source}" backend: {backend} batch_size: {batch} }} }}''',
        phase,
    )


@pytest.mark.parametrize('backend', BACKENDS)
def test_what_is_written_is_read_round_and_round(folder, backend):
    seven(backend)
    made = data_net(backend=backend)
    for k in range(5):
        made.forward()
        expected = [(3 * k + i) % 7 for i in range(3)]
        assert made.blobs['label'].data.tolist() == expected
        assert np.array_equal(made.blobs['data'].data, np.stack([planes(i) for i in expected]))


def test_two_nets_may_read_one_database_and_labels_are_optional(folder):
    seven()
    one, two = data_net(), data_net(batch=2, tops='top: "data"')
    for made in (one, two):
        made.forward()
    assert one.blobs['data'].data[0, 0, 0, 0] == two.blobs['data'].data[0, 0, 0, 0] == 0
    assert list(two.blobs) == ['data']


def test_shards_part_the_records(folder):
    seven()
    try:
        set_shard(1, 2)
        made = data_net(phase=caffe.TRAIN)
        made.forward()
        assert made.blobs['label'].data.tolist() == [1, 3, 5]
        tested = data_net()
        tested.forward()
        assert tested.blobs['label'].data.tolist() == [0, 1, 2]
    finally:
        set_shard(0, 1)


def test_encoded_and_float_datums(folder):
    image = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    coded = caffe_pb2.Datum(encoded=True, label=1, data=cv2.imencode('.png', image)[1].tobytes())
    floats = caffe_pb2.Datum(channels=2, height=1, width=3, float_data=[0.5, -1, 2, 3, 4, 1e6])
    write('db', [coded.SerializeToString()])
    write('floats', [floats.SerializeToString()])
    for transform, channels in (('', 3), ('force_color: true', 3), ('force_gray: true', 1)):
        made = data_net(batch=1, transform=transform)
        made.forward()
        assert made.blobs['data'].shape == (1, channels, 5, 4)
        assert channels == 1 or np.array_equal(made.blobs['data'].data[0], image.transpose(2, 0, 1))
    made = data_net('floats', batch=1, transform='scale: 2')
    made.forward()
    assert made.blobs['data'].data.ravel().tolist() == [1, -2, 4, 6, 8, 2e6]


def test_a_database_larger_than_the_first_map(folder):
    write('db', [bytes(100_000)] * 250)
    reader = open_reader('db', caffe_pb2.DataParameter.LMDB)
    assert reader.count == 250 and len(reader.peek()[1]()) == 100_000


@pytest.mark.parametrize('backend', BACKENDS)
def test_writing_is_all_or_nothing(folder, backend):
    with pytest.raises(RuntimeError), new_database('db', backend_named(backend)) as put:
        put(b'a', b'b')
        raise RuntimeError
    assert os.listdir() == []
    seven(backend)
    before = sorted(os.listdir('db'))
    with pytest.raises(CaffeError, match='exists already'):
        seven(backend)
    assert sorted(os.listdir('db')) == before and os.listdir() == ['db']
    with pytest.raises(CaffeError, match='cannot be written'):
        write('nowhere/db', [], backend)


@pytest.mark.parametrize('backend', BACKENDS)
def test_reading_leaves_a_database_as_it_is(folder, backend):
    seven(backend)
    before = {name: os.stat(f'db/{name}').st_mtime_ns for name in os.listdir('db')}
    data_net(backend=backend).forward()
    assert {name: os.stat(f'db/{name}').st_mtime_ns for name in os.listdir('db')} == before


def truncate():
    seven()
    os.truncate('db/data.mdb', os.path.getsize('db/data.mdb') - 4096)


@pytest.mark.parametrize(
    'make,backend,part',
    [
        (lambda: None, 'LMDB', 'db: is no LMDB'),
        (lambda: os.mkdir('db'), 'LMDB', 'db: is no LMDB'),
        (lambda: write('db', []), 'LMDB', 'db: the database is empty'),
        (truncate, 'LMDB', 'truncated'),
        (lambda: (os.mkdir('db'), Path('db/data.mdb').write_bytes(b'x' * 9000)), 'LMDB', 'not a readable LMDB'),
        (lambda: write('db', [b'\xff\xff']), 'LMDB', "record '00000000': is not a Datum"),
        (
            lambda: write(
                'db', [caffe_pb2.Datum(channels=2**30, height=2**30, width=4, data=b'12').SerializeToString()]
            ),
            'LMDB',
            'claims',
        ),
        (lambda: write('db', [caffe_pb2.Datum(encoded=True, data=b'12').SerializeToString()]), 'LMDB', 'not a picture'),
    ],
)
def test_a_bad_database_is_named(folder, make, backend, part):
    make()
    with pytest.raises(CaffeError, match=part) as failure:
        data_net(backend=backend)
    assert "layer 'd' (Data)" in str(failure.value) and '\n' not in str(failure.value)


@pytest.mark.parametrize(
    'make,part',
    [
        (lambda: None, 'db: is no LevelDB'),
        (lambda: os.mkdir('db'), 'CURRENT'),
        (lambda: write('db', [], 'LEVELDB'), 'db: the database is empty'),
    ],
)
def test_a_bad_leveldb_is_named(folder, make, part):
    pytest.importorskip('plyvel')
    make()
    with pytest.raises(CaffeError, match=part):
        data_net(backend='LEVELDB')


@pytest.mark.parametrize('kind', ['lmdb', 'leveldb', 'encoded', 'mean'])
def test_genuine_databases(kind, monkeypatch):
    if not FILES.exists():
        pytest.skip('shared goldens are absent')
    if kind == 'leveldb':
        pytest.importorskip('plyvel')
    monkeypatch.chdir(FILES)
    made, expected = caffe.Net(f'data_{kind}.prototxt', caffe.TEST), np.load('expected.npz')
    for k in range(4):
        made.forward()
        for blob in ('data', 'label'):
            assert np.allclose(made.blobs[blob].data, expected[f'{kind}/{k}/{blob}'], rtol=1e-6, atol=1e-6)


def test_without_plyvel_the_error_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, 'plyvel', None)
    with pytest.raises(CaffeError, match='leveldb'):
        data_net(backend='LEVELDB')


def test_without_lmdb_databases_are_read_and_writing_says_what_to_install(folder):
    seven()
    text = """
import sys
sys.modules['lmdb'] = None
import caffe, sphereslim.api
from caffe.data.db import new_database, open_reader
from caffe.proto.caffe_pb2 import DataParameter
print(open_reader('db', DataParameter.LMDB).count)
with new_database('other', DataParameter.LMDB):
    pass
"""
    done = subprocess.run([sys.executable, '-c', text], capture_output=True, text=True)
    assert done.stdout == '7\n', done.stderr
    assert done.stderr.splitlines()[-1].endswith(
        'other: to write LMDB takes the package lmdb (pip install lmdb); reading does not'
    )
    assert os.listdir() == ['db']
