"""Whole files of any bytes, one reader each: what coverage-guided fuzzing feeds, and where its findings are repeated.

A target is a function of the bytes of one file, run in a folder made by `prepare`. `run` raises what is not allowed.
"""

import importlib.util
import os
import random
import shutil
from functools import cache
from pathlib import Path

import h5py
import lmdb
import numpy as np
from google.protobuf import text_format

import caffe
from caffe.cli import upgrade
from caffe.layers import layer_types
from caffe.proto import caffe_pb2
from caffe.solvers import state_files
from fuzzing import inputs
from fuzzing.small_run import NET, SOLVER

_WINDOWS = '# 0\ngood.png\n3\n6\n5\n2\n1 0.9 0 0 3 4\n0 0.1 1 1 2 2\n# 1\ngood.png\n3\n6\n5\n1\n2 0.8 1 0 4 5\n'
_IMAGES = 'layer {{ name: "data" type: "{kind}" top: "data" top: "label" {param} {transform} }}'
_RANDOM_NETS = 100
_LEVELDB_FILES = ('CURRENT', 'MANIFEST', '.log', '.ldb')


def _net(kind, param, transform=''):
    Path('io.prototxt').write_text(_IMAGES.format(kind=kind, param=param, transform=transform))
    return caffe.Net('io.prototxt', caffe.TRAIN)


def _twice(net):
    net.forward()
    net.forward()


# -- nets and solvers -------------------------------------------------------------------------------------------------


def net_text(content):
    """A prototxt; nets too large to try are left out, and Python layers, which are programs."""
    if b'ython' in content or b'HDF5Output' in content:
        return
    Path('any.prototxt').write_bytes(content)
    net = caffe.Net('any.prototxt', caffe.TRAIN)
    if sum(blob.count for blob in net.blobs.values()) + sum(b.count for b in net.learnable.blobs) < 10**5:
        inputs.exercise(net)


def net_binary(content):
    """A binary net of any age for upgrade_net_proto_binary."""
    Path('any.caffemodel').write_bytes(content)
    status = upgrade.net_binary(['any.caffemodel', 'upgraded.caffemodel'])
    assert status in (0, 1), status


def solver_text(content):
    """A solver prototxt, for a step where it names no other files."""
    Path('any.prototxt').write_bytes(content)
    param = caffe.proto.files.read_solver('any.prototxt')
    for field in ('snapshot', 'solver_mode', 'test_iter', 'snapshot_after_train', 'debug_info'):
        param.ClearField(field)
    param.iter_size, param.average_loss = min(param.iter_size, 3), min(param.average_loss, 10)
    caffe.get_solver(param, origin='any.prototxt').step(1)


# -- what trainings write ---------------------------------------------------------------------------------------------


def weights(content):
    """A caffemodel, binary or HDF5."""
    Path('any.caffemodel').write_bytes(content)
    _small_net().copy_from('any.caffemodel')


def state(content):
    """A solverstate, binary or HDF5."""
    Path('any.solverstate').write_bytes(content)
    state_files.read_state('any.solverstate')
    _small_solver().restore('any.solverstate')


@cache
def _small_net():
    return caffe.Net('net.prototxt', caffe.TRAIN)


@cache
def _small_solver():
    return caffe.get_solver('solver.prototxt')


# -- data -------------------------------------------------------------------------------------------------------------


def image_list(content):
    """A list of pictures."""
    Path('any.txt').write_bytes(content)
    _twice(_net('ImageData', 'image_data_param { source: "any.txt" batch_size: 2 new_height: 4 new_width: 4 }'))


def picture(content):
    """A picture that a list names."""
    Path('any.png').write_bytes(content)
    Path('pictures.txt').write_text('any.png 1\n')
    _twice(_net('ImageData', 'image_data_param { source: "pictures.txt" batch_size: 1 new_height: 4 new_width: 4 }'))


def hdf5_list(content):
    """A list of HDF5 files."""
    Path('any.txt').write_bytes(content)
    _twice(_net('HDF5Data', 'hdf5_data_param { source: "any.txt" batch_size: 3 shuffle: true }'))


def hdf5_data(content):
    """An HDF5 file of data and labels."""
    Path('any.h5').write_bytes(content)
    Path('any.txt').write_text('any.h5\n')
    _twice(_net('HDF5Data', 'hdf5_data_param { source: "any.txt" batch_size: 3 }'))


def windows(content):
    """A window file."""
    Path('any.txt').write_bytes(content)
    _twice(
        _net(
            'WindowData',
            'window_data_param { source: "any.txt" batch_size: 4 context_pad: 1 }',
            'transform_param { crop_size: 6 mirror: true }',
        )
    )


def mean_file(content):
    """A mean image."""
    Path('any.binaryproto').write_bytes(content)
    _twice(
        _net(
            'Data',
            'data_param { source: "good" batch_size: 3 backend: LMDB }',
            'transform_param { mean_file: "any.binaryproto" }',
        )
    )


def database(content):
    """The data file of an LMDB."""
    os.makedirs('any', exist_ok=True)
    Path('any/data.mdb').write_bytes(content)
    _twice(_net('Data', 'data_param { source: "any" batch_size: 3 backend: LMDB }'))


def datum(content):
    """A record of an LMDB."""
    shutil.rmtree('records', ignore_errors=True)
    with lmdb.open('records', map_size=1 << 22, lock=False, sync=False) as file, file.begin(write=True) as transaction:
        transaction.put(b'0', content)
    _twice(_net('Data', 'data_param { source: "records" batch_size: 1 backend: LMDB }'))


def leveldb(content):
    """A file of a LevelDB: the first byte tells which one, the others are its content."""
    shutil.rmtree('anylevel', ignore_errors=True)
    shutil.copytree('level', 'anylevel')
    kind = _LEVELDB_FILES[content[0] % len(_LEVELDB_FILES)] if content else ''
    for path in Path('anylevel').iterdir():
        if kind and kind in path.name:
            path.write_bytes(content[1:])
    _twice(_net('Data', 'data_param { source: "anylevel" batch_size: 3 backend: LEVELDB }'))


TARGETS = {
    target.__name__: target
    for target in (
        net_text,
        net_binary,
        solver_text,
        weights,
        state,
        image_list,
        picture,
        hdf5_list,
        hdf5_data,
        windows,
        mean_file,
        database,
        datum,
        leveldb,
    )
}
# a text that says anything at all may make a layer fail in ways that only the layer's name can explain
_FREE = (net_text, solver_text)


def run(name, content, folder):
    """Give `content` to a target in `folder`; True when it was accepted, False when one clear line refused it."""
    target = TARGETS[name]
    with inputs.working_in(folder):
        try:
            target(content)
        except caffe.CaffeError as error:
            assert str(error) and '\n' not in str(error), f'not one line: {error}'
            if error.__cause__ is not None and target not in _FREE:
                raise error.__cause__  # noqa: B904  (what the line hides is the finding)
            return False
    return True


def prepare(folder):
    """Write the undamaged files into `folder`."""
    inputs.prepare(folder)
    with inputs.working_in(folder):
        made = caffe.get_solver('solver.prototxt')
        made.param.snapshot_format = 1
        made.step(1)
        made.param.snapshot_format = 0
        state_files.write_state('good.solverstate.h5', 1, 0, 'good.caffemodel', made.updater.history)
        if importlib.util.find_spec('plyvel'):
            _write_leveldb('level')
        Path('windows.txt').write_text(_WINDOWS)
        Path('pictures.list').write_text('good.png 1\n')
        with h5py.File('tiny.h5', 'w') as file:
            file['data'], file['label'] = np.zeros((3, 2), 'f'), np.zeros(3, 'f')


def _write_leveldb(name):
    import plyvel

    for _ in range(2):  # opened again, the log of the first time becomes a table
        database = plyvel.DB(name, create_if_missing=True)
        for i in range(3):
            planes = np.full((1, 2, 2), i, np.uint8)
            database.put(b'%d' % i, caffe.io.array_to_datum(planes, i).SerializeToString())
        database.close()


def _old_nets():
    """Nets in the two forms before the present one."""
    first = caffe_pb2.NetParameter(input=['x'], input_dim=[1, 3, 4, 4])
    old = first.layers.add(bottom=['x'], top=['y']).layer
    old.name, old.type, old.num_output, old.kernelsize = 'conv', 'conv', 2, 3
    second = caffe_pb2.NetParameter(input=['x'], input_dim=[1, 3, 4, 4])
    second.layers.add(
        name='conv', type='CONVOLUTION', bottom=['x'], top=['y'], param=['w'], blobs_lr=[1], weight_decay=[1]
    )
    second.layers[0].convolution_param.num_output = 2
    return first, second


def words():
    """What stands in prototxts: names of fields, of enum values and of layer types."""
    found = set(layer_types())
    for message in caffe_pb2.DESCRIPTOR.message_types_by_name.values():
        found.update(field.name for field in message.fields)
        found.update(value.name for kind in message.enum_types for value in kind.values)
    return sorted(found)


def seeds(name, folder):
    """Undamaged contents of a target's file."""
    folder = Path(folder)

    def files(*names):
        return [(folder / file).read_bytes() for file in names]

    with lmdb.open(str(folder / 'good'), readonly=True, lock=False) as file, file.begin() as transaction:
        records = [bytes(value) for _, value in transaction.cursor()]
    level = (
        []
        if name != 'leveldb'
        else [
            bytes([i]) + path.read_bytes()
            for i, kind in enumerate(_LEVELDB_FILES)
            for path in (folder / 'level').iterdir()
            if kind in path.name
        ]
    )
    nets = [inputs.random_net(random.Random(seed)) for seed in range(_RANDOM_NETS)]
    given = {
        'net_text': [NET.encode(), *(text_format.MessageToString(net).encode() for net in nets)],
        'net_binary': [net.SerializePartialToString() for net in (*nets, *_old_nets())] + files('good.caffemodel'),
        'solver_text': [SOLVER.encode()],
        'weights': files('good.caffemodel', 'good.h5'),
        'state': files('good.solverstate', 'good.solverstate.h5'),
        'image_list': [b'good.png 1\ngood.png 2\n'],
        'picture': files('good.png'),
        'hdf5_list': [b'rows.h5\n'],
        'hdf5_data': files('tiny.h5'),
        'windows': [_WINDOWS.encode()],
        'mean_file': files('good.binaryproto'),
        'database': files('good/data.mdb'),
        'datum': records[:1],
        'leveldb': level,
    }
    return given[name]
