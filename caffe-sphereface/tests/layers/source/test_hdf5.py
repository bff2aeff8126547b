"""HDF5Data and HDF5Output, and weights of a genuine Caffe in HDF5."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from repository import SHARED

import caffe
from caffe.errors import CaffeError
from databases import net, planes, seven

FILES = SHARED / 'goldens' / 'files'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
