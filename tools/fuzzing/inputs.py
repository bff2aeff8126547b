"""Damaged and absurd input of every kind: each target must end in a result or in one CaffeError of one line.

A target is a function of a `random.Random` and a folder to work in. `run(name, random, folder)` raises what is not
allowed: another exception, or an error of several lines.
"""

import contextlib
import os
import random as randoms
import re
import resource
import shutil
import signal
from pathlib import Path

import cv2
import h5py
import lmdb
import numpy as np
from google.protobuf import text_format

import caffe
from caffe.layers import create_layer, layer_types
from caffe.layers.python import PythonLayer
from caffe.proto import caffe_pb2
from fuzzing.small_run import NET, SOLVER, write_run

MEMORY_BEYOND = 4 << 30
_WORDS = [
    '',
    'x',
    'data',
    'label',
    'xavier',
    'gaussian',
    'constant',
    'bilinear',
    'L1',
    'L2',
    'missing.txt',
    '.',
    'ü',
    'a b',
    '../..',
    'warp',
    'square',
    'rows.h5',
    'files.txt',
]
_NUMBERS = [0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 7, 16, 10**6, 2**31 - 1]
_FLOATS = [0.0, 1.0, 1.0, 0.5, -1.0, 2.0, 1e-6, 0.9, 1e30, -1e30, float('inf'), float('nan')]
_PARAM_FIELDS = {
    re.sub('[^a-z0-9]', '', field.name.removesuffix('_param')): field.name
    for field in caffe_pb2.LayerParameter.DESCRIPTOR.fields
    if field.name.endswith('_param')
}

_ODD_FIELDS = {
    'deconvolution': 'convolution_param',
    'lstm': 'recurrent_param',
    'rnn': 'recurrent_param',
    'im2col': 'convolution_param',
    'softmaxwithloss': 'softmax_param',
    'threshold': 'threshold_param',
}


def random_value(random, field):
    """A value for a scalar field, mostly harmless."""
    kind = field.cpp_type
    if kind == field.CPPTYPE_ENUM:
        return random.choice(field.enum_type.values).number
    if kind == field.CPPTYPE_BOOL:
        return random.random() < 0.5
    if kind == field.CPPTYPE_STRING:
        word = random.choice(_WORDS)
        return word.encode() if field.type == field.TYPE_BYTES else word
    if kind in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return random.choice(_FLOATS)
    if kind in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64):
        return random.choice(_NUMBERS)
    return random.choice([*_NUMBERS, -1, -2, -(2**31)])


def is_repeated(value):
    """Whether a field has several values; FieldDescriptor.is_repeated is not in every protobuf."""
    return hasattr(value, 'append')


def fill_message(random, message, chance, depth=3):
    """Set random fields of a protobuf message."""
    for field in message.DESCRIPTOR.fields:
        if random.random() > chance or field.name in ('blobs',):
            continue
        target = getattr(message, field.name)
        for _ in range(random.choice([1, 1, 2, 3]) if is_repeated(target) else 1):
            if field.message_type:
                if depth:
                    fill_message(random, target.add() if is_repeated(target) else target, chance, depth - 1)
            elif is_repeated(target):
                target.append(random_value(random, field))
            else:
                setattr(message, field.name, random_value(random, field))
    return message


def random_count(random, wanted):
    """How many bottoms or tops a layer gets, mostly a number that its type takes."""
    low, high = wanted if isinstance(wanted, tuple) else (wanted, wanted)
    return (
        random.randrange(4)
        if random.random() < 0.1
        else random.randint(low, low + 2 if high is None else min(high, low + 2))
    )


def supply_needed(random, param):
    """Mostly give a layer's parameters what the layer cannot do without."""
    fields = param.DESCRIPTOR.fields_by_name
    for name, value in (
        ('num_output', 4),
        ('kernel_size', 2),
        ('input_dim', 5),
        ('pyramid_height', 2),
        ('scale', 1),
        ('batch_size', 2),
        ('channels', 1),
        ('height', 2),
        ('width', 2),
    ):
        if name in fields and random.random() < 0.9:
            field = getattr(param, name)
            if is_repeated(field) and not field:
                field.append(value)
            elif not is_repeated(field) and not param.HasField(name):
                setattr(param, name, value)
    for name in ('weight_filler', 'bias_filler', 'filler'):
        if name in fields and random.random() < 0.9:
            getattr(param, name).type = random.choice(['xavier', 'constant', 'gaussian', 'uniform', 'msra'])


def random_layer(random, index, names):
    """One LayerParameter over the blobs in `names`, with the parameters that belong to its type."""
    layer = caffe_pb2.LayerParameter(name=f'layer{index}', type=random.choice(layer_types()))
    kind = type(create_layer(layer, caffe.TRAIN)) if layer.type != 'Python' else PythonLayer
    layer.bottom.extend(random.choice(names) for _ in range(random_count(random, kind.bottoms)))
    in_place = layer.bottom and random.random() < 0.2
    layer.top.extend(
        [layer.bottom[0]] if in_place else [f'top{index}_{i}' for i in range(random_count(random, kind.tops))]
    )
    field = _ODD_FIELDS.get(layer.type.lower(), _PARAM_FIELDS.get(layer.type.lower()))
    if field:
        fill_message(random, getattr(layer, field), random.choice([0.05, 0.1, 0.2, 0.5]))
        supply_needed(random, getattr(layer, field))
    if random.random() < 0.15:
        fill_message(random, layer.transform_param, 0.3)
    return layer


def random_net(random):
    """A NetParameter of a few inputs and layers."""
    net = caffe_pb2.NetParameter(name='fuzz', force_backward=random.random() < 0.5)
    names = []
    for i in range(random.choice([1, 2, 3])):
        names.append(f'in{i}')
        shape = random.choice(
            [(2, 3, 6, 6)] * 2
            + [(2, 4), (2,), (4, 2), (2, 2, 2), (1, 2, 3, 3, 3), (0, 3), (0, 3, 6, 6), (2, 3, 0, 6), ()]
        )
        net.layer.add(name=names[-1], type='Input', top=[names[-1]]).input_param.shape.add(dim=shape)
    for i in range(random.choice([1, 1, 2, 3])):
        layer = random_layer(random, i, names)
        net.layer.append(layer)
        names.extend(layer.top)
    return net


def exercise(net):
    """Run a net forward and backward twice."""
    for _ in range(2):
        net.forward()
        net.backward()


def damage(random, content):
    """Bytes with a few changes: values, cuts, copies, insertions."""
    content = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 5])):
        at = random.randrange(len(content) + 1)
        length = random.choice([1, 1, 2, 4, 8, 64])
        kind = random.randrange(5)
        if kind == 0:
            content[at : at + length] = bytes(random.choice([0, 1, 127, 128, 255]) for _ in range(length))
        elif kind == 1:
            del content[at : at + length]
        elif kind == 2:
            content[at:at] = content[at : at + length] * random.choice([1, 2, 100])
        elif kind == 3:
            del content[at:]
        elif at < len(content):
            content[at] ^= 1 << random.randrange(8)
    return bytes(content)


# -- targets: what is damaged, and who reads it -----------------------------------------------------------------------


def layers(random, folder):
    """Nets of random layers with random parameters."""
    exercise(caffe.Net(random_net(random), random.choice([caffe.TRAIN, caffe.TEST])))


def text_net(random, folder):
    """A damaged prototxt."""
    words = re.findall(r'\s+|[\w.]+|.', NET)
    for _ in range(random.choice([1, 2, 4])):
        i, j = random.randrange(len(words)), random.randrange(len(words))
        words[i] = random.choice([words[j], '', words[i] * 2, '-1', '1000000000000', '{', '}', '"'])
    Path('net.prototxt').write_text(''.join(words))
    exercise(caffe.Net('net.prototxt', caffe.TRAIN))


def bytes_net(random, folder):
    """A prototxt with damaged bytes."""
    Path('net.prototxt').write_bytes(damage(random, NET.encode()))
    exercise(caffe.Net('net.prototxt', caffe.TRAIN))


def solver(random, folder):
    """A solver with random fields."""
    param = text_format.Parse(SOLVER, caffe_pb2.SolverParameter())
    extra = fill_message(random, caffe_pb2.SolverParameter(), 0.08, depth=1)
    for field in ('snapshot', 'max_iter', 'test_iter', 'iter_size', 'average_loss', 'solver_mode', 'debug_info'):
        extra.ClearField(field)
    param.MergeFrom(extra)
    caffe.get_solver(param).step(2)


def weights(random, folder):
    """A damaged caffemodel."""
    Path('bad.caffemodel').write_bytes(damage(random, Path('good.caffemodel').read_bytes()))
    caffe.Net('net.prototxt', caffe.TRAIN).copy_from('bad.caffemodel')


def weights_hdf5(random, folder):
    """A damaged HDF5 file of weights."""
    Path('bad.h5').write_bytes(damage(random, Path('good.h5').read_bytes()))
    caffe.Net('net.prototxt', caffe.TRAIN).copy_from('bad.h5')


def state(random, folder):
    """A damaged solverstate."""
    Path('bad.solverstate').write_bytes(damage(random, Path('good.solverstate').read_bytes()))
    caffe.get_solver('solver.prototxt').restore('bad.solverstate')


def image_list(random, folder):
    """A damaged list of pictures, one of which is damaged too."""
    listing = ''.join(f'{random.choice(["good.png"] * 8 + ["bad.png", "missing.png"])} {i % 3}\n' for i in range(4))
    Path('list.txt').write_bytes(damage(random, listing.encode()))
    Path('bad.png').write_bytes(damage(random, Path('good.png').read_bytes()))
    transform = text_format.MessageToString(fill_message(random, caffe_pb2.TransformationParameter(), 0.1))
    Path('net.prototxt').write_text(
        'layer { name: "data" type: "ImageData" top: "data" top: "label" image_data_param { source: "list.txt" '
        f'batch_size: 2 shuffle: true }} transform_param {{ {transform} }} }}'
    )
    exercise(caffe.Net('net.prototxt', caffe.TRAIN))


def database(random, folder):
    """A damaged LMDB."""
    os.makedirs('bad', exist_ok=True)
    Path('bad/data.mdb').write_bytes(damage(random, Path('good/data.mdb').read_bytes()))
    Path('net.prototxt').write_text(
        'layer { name: "data" type: "Data" top: "data" top: "label" '
        'data_param { source: "bad" batch_size: 3 backend: LMDB } }'
    )
    exercise(caffe.Net('net.prototxt', caffe.TRAIN))


def mean_file(random, folder):
    """A damaged mean image."""
    Path('bad.binaryproto').write_bytes(damage(random, Path('good.binaryproto').read_bytes()))
    Path('net.prototxt').write_text(
        'layer { name: "data" type: "Data" top: "data" data_param { source: "good" batch_size: 3 backend: LMDB } '
        'transform_param { mean_file: "bad.binaryproto" } }'
    )
    exercise(caffe.Net('net.prototxt', caffe.TRAIN))


TARGETS = {
    target.__name__: target
    for target in (layers, text_net, bytes_net, solver, weights, weights_hdf5, state, image_list, database, mean_file)
}


@contextlib.contextmanager
def working_in(folder):
    """`folder` as the working directory."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def prepare(folder):
    """Write the undamaged files that targets damage."""
    write_run(folder)
    with working_in(folder):
        made = caffe.get_solver('solver.prototxt')
        made.step(1)
        made.net.save('good.caffemodel')
        made.net.save_hdf5('good.h5')
        made.snapshot()
        shutil.move(f'out_iter_{made.iter}.solverstate', 'good.solverstate')
        values = np.random.default_rng(0)
        cv2.imwrite('good.png', values.integers(0, 256, (6, 5, 3), np.uint8))
        with lmdb.open('good', map_size=1 << 20) as file, file.begin(write=True) as transaction:
            for i in range(5):
                datum = caffe.io.array_to_datum(values.integers(0, 256, (3, 4, 4)).astype(np.uint8), i)
                transaction.put(f'{i:08d}'.encode(), datum.SerializeToString())
        mean = caffe.io.array_to_blobproto(values.random((1, 3, 4, 4)))
        Path('good.binaryproto').write_bytes(mean.SerializeToString())
        with h5py.File('other.h5', 'w') as file:
            file['x'] = np.zeros(3)


def address_space():
    """Bytes of address space that this process has taken."""
    return int(re.search(r'VmSize:\s+(\d+)', Path('/proc/self/status').read_text())[1]) << 10


@contextlib.contextmanager
def limits(seconds=60):
    """No more than MEMORY_BEYOND further bytes of address space, and no target that runs for ever."""

    def alarm(*_):
        raise TimeoutError(f'no end within {seconds} seconds')

    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, alarm)
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + MEMORY_BEYOND, before[1]))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def run(name, random, folder):
    """Run a target in `folder` (see `prepare`); True when the input was accepted, False when it was refused."""
    (folder / 'net.prototxt').write_text(NET)
    caffe.set_random_seed(1)
    with working_in(folder), limits():
        try:
            TARGETS[name](random, folder)
        except caffe.CaffeError as error:
            assert str(error) and '\n' not in str(error), f'not one line: {error}'
            return False
    return True


def run_seed(name, seed, folder):
    """`run` with the numbers that `seed` gives."""
    return run(name, randoms.Random(f'{name} {seed}'), folder)
