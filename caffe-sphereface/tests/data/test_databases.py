"""Data, MemoryData, HDF5Data, HDF5Output, DummyData, WindowData and the databases under them."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import h5py
import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repository import SHARED

import caffe
from caffe.data.datum import planes_to_datum
from caffe.data.db import LmdbReader, backend_named, new_database, open_reader
from caffe.data.lmdb_file import LmdbFile
from caffe.errors import CaffeError
from caffe.parallel.rank import set_shard
from caffe.proto import caffe_pb2
from caffe.proto.files import parse_text

FILES = SHARED / 'goldens' / 'files'

try:
    import plyvel  # noqa: F401

    LEVELDB = 'LEVELDB'
except ImportError:
    LEVELDB = pytest.param('LEVELDB', marks=pytest.mark.skip(reason='plyvel is not installed'))
BACKENDS = ['LMDB', LEVELDB]


def net(text, phase=caffe.TEST):
    return caffe.Net(parse_text(text, caffe_pb2.NetParameter(), 'test'), phase)


def planes(i):
    return np.full((2, 5, 4), i, np.uint8) + np.arange(4, dtype=np.uint8)


def write(path, records, backend='LMDB'):
    with new_database(path, backend_named(backend)) as put:
        for i, record in enumerate(records):
            put(f'{i:08d}'.encode(), record)


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


def seven(backend='LMDB'):
    write('db', [planes_to_datum(planes(i), i).SerializeToString() for i in range(7)], backend)


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


MEMORY = """layer { name: "m" type: "MemoryData" top: "data" top: "label"
            memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }"""


def test_memory_data_goes_round():
    made = net(MEMORY)
    with pytest.raises(CaffeError, match='set_input_arrays'):
        made.forward()
    data = np.random.default_rng(0).random((6, 3, 4, 5)).astype('f4')
    made.set_input_arrays(data, np.arange(6, dtype='f4').reshape(6, 1, 1, 1))
    for k in (0, 1, 2, 0):
        made.forward()
        assert np.array_equal(made.blobs['data'].data, data[2 * k : 2 * k + 2])
        assert made.blobs['label'].data.tolist() == [2 * k, 2 * k + 1]


@pytest.mark.parametrize(
    'shape,labels', [((5, 3, 4, 5), 5), ((0, 3, 4, 5), 0), ((2, 3, 5, 4), 2), ((2, 60), 2), ((2, 3, 4, 5), 3)]
)
def test_memory_data_refuses_what_does_not_fit(shape, labels):
    with pytest.raises(CaffeError, match="layer 'm'"):
        net(MEMORY).set_input_arrays(np.zeros(shape, 'f4'), np.zeros(labels, 'f4'))


def hdf5_files():
    for name, start in (('a.h5', 0), ('b.h5', 4)):
        with h5py.File(name, 'w') as file:
            file['x'] = np.arange(start, start + 4).reshape(4, 1) * np.ones((4, 3))
            file['y'] = np.arange(start, start + 4, dtype='i4')
    Path('list.txt').write_text('a.h5\nb.h5\n')


def hdf5_net(extra='', batch=3, phase=caffe.TEST):
    return net(
        f"""layer {{ name: "h" type: "HDF5Data" top: "x" top: "y"
                   hdf5_data_param {{ source: "list.txt" batch_size: {batch} {extra} }} }}""",
        phase,
    )


def test_hdf5_rows_go_on_from_file_to_file(folder):
    hdf5_files()
    made = hdf5_net()
    assert made.blobs['x'].shape == (3, 3) and made.blobs['y'].shape == (3,)
    for k in range(6):
        made.forward()
        expected = [(3 * k + i) % 8 for i in range(3)]
        assert made.blobs['y'].data.tolist() == expected and made.blobs['x'].data[:, 2].tolist() == expected


def test_hdf5_shuffle_keeps_rows_together_and_epochs_whole(folder):
    hdf5_files()
    caffe.set_random_seed(3)
    made = hdf5_net('shuffle: true', batch=8)
    orders = set()
    for _ in range(6):
        made.forward()
        assert np.array_equal(made.blobs['x'].data[:, 0], made.blobs['y'].data)
        assert sorted(made.blobs['y'].data.tolist()) == list(range(8))
        orders.add(tuple(made.blobs['y'].data.tolist()))
    assert len(orders) > 3


def claim():
    hdf5_files()
    with h5py.File('a.h5', 'w') as file:
        file['y'] = np.zeros(4)
        file.create_dataset('x', shape=(10**9, 1000), dtype='f4', chunks=(1, 1000))


def unequal():
    hdf5_files()
    with h5py.File('a.h5', 'w') as file:
        file['x'], file['y'] = np.zeros((3, 2)), np.zeros(4)


@pytest.mark.parametrize(
    'make,part',
    [
        (lambda: None, 'list.txt'),
        (lambda: Path('list.txt').write_text('\n'), 'no files'),
        (lambda: Path('list.txt').write_text('c.h5\n'), 'c.h5'),
        (claim, 'claims'),
        (unequal, 'same number'),
        (lambda: (hdf5_files(), Path('a.h5').write_bytes(b'no')), 'a.h5'),
        (lambda: (hdf5_files(), h5py.File('a.h5', 'w').close()), "no dataset 'x'"),
    ],
)
def test_bad_hdf5_data_is_named(folder, make, part):
    make()
    with pytest.raises(CaffeError, match=part) as failure:
        hdf5_net()
    assert "layer 'h' (HDF5Data)" in str(failure.value)


def test_hdf5_output_appends_what_each_forward_makes(folder):
    seven()
    made = net("""layer { name: "d" type: "Data" top: "data" top: "label"
                  data_param { source: "db" backend: LMDB batch_size: 3 } }
                  layer { name: "o" type: "HDF5Output" bottom: "data" bottom: "label"
                  hdf5_output_param { file_name: "out.h5" } }""")
    for k in (1, 2):
        made.forward()
        with h5py.File('out.h5') as file:
            assert file['label'][()].tolist() == list(range(3 * k))
            assert np.array_equal(file['data'][()], np.stack([planes(i) for i in range(3 * k)]).astype('f4'))


FULL_DISK = """
import resource, signal, caffe
net = caffe.Net('net.prototxt', caffe.TEST)
for _ in range({forwards}):
    net.forward()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
for _ in range(50):
    try:
        net.forward()
    except caffe.CaffeError as error:
        print(error)
        break
"""


@pytest.mark.parametrize('forwards,limit,rows', [(0, 5000, 0), (1, 100, 2), (1, 30000, 2), (1, 300_000, None)])
def test_hdf5_output_on_a_full_disk_keeps_the_rows_before(folder, forwards, limit, rows):
    Path('net.prototxt').write_text("""layer { name: "d" type: "DummyData" top: "a" top: "b"
        dummy_data_param { shape { dim: 2 dim: 3000 } shape { dim: 2 } data_filler { value: 3 } } }
        layer { name: "o" type: "HDF5Output" bottom: "a" bottom: "b" hdf5_output_param { file_name: "out.h5" } }""")
    script = FULL_DISK.format(forwards=forwards, limit=limit)
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "'o' (HDF5Output): out.h5: cannot be written" in done.stdout and done.stdout.count('\n') == 1
    assert sorted(os.listdir()) == ['net.prototxt', *(['out.h5'] if forwards else [])]
    if forwards:
        with h5py.File('out.h5') as file:
            assert len(file['label']) == rows or rows is None and len(file['label']) > 2
            assert (file['data'][()] == 3).all() and len(file['data']) == len(file['label'])


DUMMY = 'layer {{ name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {{ {} }} }}'


def test_dummy_data_fills_constants_once_and_draws_the_rest_anew():
    made = net(
        DUMMY.format("""shape { dim: 2 dim: 3 } shape { dim: 4 } data_filler { value: 7 }
                               data_filler { type: "gaussian" }""")
    )
    made.forward()
    assert (made.blobs['a'].data == 7).all() and made.blobs['a'].shape == (2, 3)
    first = made.blobs['b'].data.copy()
    made.blobs['a'].data[...] = 1
    made.forward()
    assert (made.blobs['a'].data == 1).all() and (made.blobs['b'].data != first).all()


def test_dummy_data_in_its_old_form():
    made = net(DUMMY.format('num: 2 num: 3 channels: 1 height: 4 width: 5'))
    assert (made.blobs['a'].shape, made.blobs['b'].shape) == ((2, 1, 4, 5), (3, 1, 4, 5))
    assert not made.forward()['b'].any()


@pytest.mark.parametrize(
    'text',
    [
        '',
        'num: 1',
        'shape { dim: 1 } num: 2',
        'shape { } shape { } shape { }',
        'shape { dim: 1 } data_filler { } data_filler { } data_filler { }',
        'shape { dim: 1 } data_filler { type: "odd" }',
    ],
)
def test_dummy_data_refuses_what_does_not_fit(text):
    with pytest.raises(CaffeError, match="layer 'd'"):
        net(DUMMY.format(text))


def window_net(extra='', transform='', batch=4, source='windows.txt'):
    return net(f'''layer {{ name: "w" type: "WindowData" top: "data" top: "label"
                   transform_param {{ crop_size: 6 {transform} }}
                   window_data_param {{ source: "{source}" batch_size: {batch} fg_fraction: 0.5 {extra} }} }}''')


@pytest.fixture
def windows(folder):
    """One picture of 12x20 with a foreground window of class 3 and a background window."""
    image = np.full((12, 20, 3), 50, np.uint8)
    image[2:8, 4:10] = 200
    cv2.imwrite('p.png', image)
    Path('windows.txt').write_text('# 0\np.png\n3\n12\n20\n2\n3 0.9 4 2 9 7\n5 0.1 12 0 19 9\n')
    return folder


def test_windows_are_background_first_then_foreground(windows):
    made = window_net(transform='mean_value: 10 scale: 0.5')
    made.forward()
    assert made.blobs['label'].data.tolist() == [0, 0, 3, 3]
    assert (made.blobs['data'].data[:2] == 20).all() and (made.blobs['data'].data[2:] == 95).all()


def test_a_window_is_background_only_below_both_thresholds(windows):
    Path('windows.txt').write_text('# 0\np.png\n3\n12\n20\n2\n3 0.6 4 2 9 7\n5 0.1 12 0 19 9\n')
    made = window_net('fg_threshold: 0.5 bg_threshold: 0.7', 'mean_value: 50', batch=16)
    made.forward()
    assert not made.blobs['data'].data[:8].any()


def test_context_outside_the_picture_is_zero_after_the_mean(windows):
    Path('windows.txt').write_text('# 0\np.png\n3\n12\n20\n2\n3 0.9 0 0 5 5\n5 0.1 12 0 19 9\n')
    made = window_net('context_pad: 1 crop_mode: "square"', 'mean_value: 10')
    made.forward()
    patch = made.blobs['data'].data[2]
    assert not patch[:, 0].any() and not patch[:, :, 0].any() and patch[:, 2:, 2:].all()


@pytest.mark.parametrize(
    'text,part',
    [
        ('', 'no foreground'),
        ('x\n', 'windows.txt:1'),
        ('# 0\np.png\n3\n12\n', 'ends where width'),
        ('# 0\np.png\n3\n12\n20\n1\n3 0.9 4 2\n', 'windows.txt:7'),
        ('# 0\np.png\n3\n12\n20\n1\n3 0.9 9 2 4 7\n', 'empty'),
    ],
)
def test_bad_window_files_are_named(windows, text, part):
    Path('windows.txt').write_text(text)
    with pytest.raises(CaffeError, match=part):
        window_net()


def test_a_missing_picture_of_a_window_is_named(windows):
    os.unlink('p.png')
    with pytest.raises(CaffeError, match='p.png'):
        window_net().forward()


def test_without_plyvel_the_error_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, 'plyvel', None)
    with pytest.raises(CaffeError, match='leveldb'):
        data_net(backend='LEVELDB')


def test_genuine_hdf5_weights_and_features(monkeypatch):
    if not FILES.exists():
        pytest.skip('shared goldens are absent')
    if 'Sigmoid' not in caffe.layer_type_list():
        pytest.skip('layer Sigmoid is not built in')
    monkeypatch.chdir(FILES)
    expected = np.load('expected.npz')
    for weights in ('features.caffemodel', 'features.caffemodel.h5'):
        made = caffe.Net('features.prototxt', weights, caffe.TEST)
        for k in range(2):
            made.forward()
            for blob in ('ip', 'sig'):
                assert np.allclose(made.blobs[blob].data, expected[f'features/{k}/{blob}'], atol=1e-4)
    made = caffe.Net('mlp.prototxt', 'mlp_iter_8.caffemodel.h5', caffe.TRAIN)
    final = np.load('mlp_after_8.npz')
    for name in final:
        layer, i = name.split('/')
        assert np.array_equal(made.params[layer][int(i)].data, final[name])
