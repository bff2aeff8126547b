"""Data layers that read in processes: the same batches as with threads, and nobody left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from itertools import count, repeat
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

import caffe
from caffe.data.datum import planes_to_datum
from caffe.data.prefetch.forked import ProcessPrefetcher
from caffe.data.prefetch.worker_count import worker_count
from caffe.errors import CaffeError
from caffe.parallel.rank import set_shard
from caffe.proto import caffe_pb2
from caffe.proto.files import parse_text

NETS = {
    'ImageData': 'image_data_param { source: "list.txt" batch_size: 3 shuffle: true }',
    'Data': 'data_param { source: "lmdb" backend: LMDB batch_size: 3 }',
    'WindowData': 'window_data_param { source: "windows.txt" batch_size: 3 fg_fraction: 0.5 }',
}
TRANSFORM = 'transform_param { crop_size: 8 mirror: true mean_value: 90 scale: 0.5 }'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with twelve pictures of noise in a list, an LMDB and a window file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('CAFFE_DATA_WORKERS', '3')
    monkeypatch.setenv('CAFFE_DATA_PROCESSES', '1')
    images = np.random.default_rng(5).integers(0, 256, (12, 11, 14, 3), np.uint8)
    with lmdb.open('lmdb') as database, database.begin(write=True) as write:
        for i, image in enumerate(images):
            cv2.imwrite(f'{i}.png', image)
            write.put(f'{i:03}'.encode(), planes_to_datum(image.transpose(2, 0, 1), i).SerializeToString())
    Path('list.txt').write_text(''.join(f'{i}.png {i}\n' for i in range(12)))
    Path('windows.txt').write_text(
        ''.join(f'# {i}\n{i}.png\n3\n11\n14\n2\n{i + 1} 0.9 1 1 9 9\n0 0.1 0 2 5 9\n' for i in range(12))
    )


def net(kind, phase=caffe.TRAIN):
    text = f'layer {{ name: "d" type: "{kind}" top: "data" top: "label" {TRANSFORM} {NETS[kind]} }}'
    return caffe.Net(parse_text(text, caffe_pb2.NetParameter(), 'test'), phase)


def batches(kind, count):
    caffe.set_random_seed(3)
    made, out = net(kind), []
    for _ in range(count):
        made.forward()
        out += [made.blobs['data'].data.copy(), made.blobs['label'].data.copy()]
    return out


@pytest.mark.parametrize('kind', NETS)
@pytest.mark.parametrize('rank,count', [(0, 1), (1, 2)])
def test_processes_make_what_threads_make(folder, monkeypatch, kind, rank, count):
    set_shard(rank, count)
    try:
        processes = batches(kind, 11)
        monkeypatch.setenv('CAFFE_DATA_PROCESSES', '0')
        threads = batches(kind, 11)
    finally:
        set_shard(0, 1)
    assert len(processes) == 22 and all(map(np.array_equal, processes, threads))
    assert not np.array_equal(processes[0], processes[2])


def test_batches_that_somebody_keeps_stay_as_they_are(folder):
    expected = batches('ImageData', 25)
    caffe.set_random_seed(3)
    made, kept = net('ImageData'), []
    for _ in range(25):
        made.forward()
        kept += [made.blobs['data'].tensor[:, 1:], made.blobs['label'].tensor]
    assert all(np.array_equal(some, every[:, 1:] if every.ndim == 4 else every) for some, every in zip(kept, expected))


def children():
    return {int(pid) for path in Path('/proc/self/task').glob('*/children') for pid in path.read_text().split()}


@pytest.mark.parametrize('gone', [False, True])
def test_workers_that_were_killed_are_reported(folder, gone):
    before = children()
    made = net('ImageData')
    for _ in range(2):  # so that memory waits to be filled anew
        made.forward()
    killed = children() - before
    for child in killed:
        os.kill(child, signal.SIGKILL)
    for child in killed if gone else ():
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    for _ in range(2):
        with pytest.raises(CaffeError, match=r"layer 'd' \(ImageData\): worker process.*signal 9"):
            for _ in range(20):
                made.forward()


def test_a_damaged_database_is_named(folder):
    path = Path('lmdb/data.mdb')
    path.write_bytes(path.read_bytes().replace(b'007\x08\x03', b'007\xff\xff'))
    made = net('Data')
    made.forward()
    with pytest.raises(CaffeError, match="layer 'd'.*record '007'"):
        for _ in range(4):
            made.forward()


def number(item, slot):
    """An item whose picture and label are the item itself."""
    slot((1,), np.float32)[:] = item
    return item


def prefetcher(plan, load, monkeypatch, workers=3):
    monkeypatch.setenv('CAFFE_DATA_WORKERS', str(workers))
    return ProcessPrefetcher(plan, load)


def test_a_worker_that_was_killed_over_a_batch_is_reported_in_its_place(monkeypatch, tmp_path):
    busy = tmp_path / 'busy'

    def load(item, slot):
        if item == 2:
            (busy / str(os.getpid())).touch()
            time.sleep(600)
        return number(item, slot)

    busy.mkdir()
    made = prefetcher(([i] for i in count()), load, monkeypatch)
    assert made.next().labels.tolist() == [0]
    while not os.listdir(busy):
        time.sleep(0.01)
    os.kill(int(os.listdir(busy)[0]), signal.SIGKILL)
    assert made.next().labels.tolist() == [1]
    for _ in range(2):
        with pytest.raises(CaffeError, match='worker process.*signal 9'):
            made.next()


@pytest.mark.parametrize('workers', [1, 2, 5])
def test_an_error_of_the_plan_comes_when_its_batch_is_due(monkeypatch, workers):
    def plan():
        yield from ([i, i + 0.5] for i in range(7))
        raise CaffeError('no more')

    made = prefetcher(plan(), number, monkeypatch, workers)
    for i in range(7):
        batch = made.next()
        assert batch.labels.tolist() == batch.data.flatten().tolist() == [i, i + 0.5]
    for _ in range(2):
        with pytest.raises(CaffeError, match='no more'):
            made.next()
    assert not made.is_ready()


class Needy(Exception):
    """One that cannot be put together again from what pickle notes."""

    def __init__(self, first, second):
        super().__init__(f'{first} {second}')


@pytest.mark.parametrize(
    'error, part',
    [
        (Needy('no', 'picture'), 'no picture'),
        (Needy(print, lambda: 0), 'print'),
        (CaffeError('long ' * 100000), 'long long'),
    ],
)
def test_an_exception_that_cannot_be_sent_comes_as_its_text(monkeypatch, error, part):
    def load(item, slot):
        raise error

    made = prefetcher(repeat([0]), load, monkeypatch)
    for _ in range(2):
        with pytest.raises(CaffeError, match=part):
            made.next()


def test_daemonic_processes_read_too(folder):
    """Caffe's own train.py trains in such processes."""
    process = multiprocessing.get_context('spawn').Process(target=batches, args=('ImageData', 2), daemon=True)
    process.start()
    process.join(60)
    assert process.exitcode == 0


# lets a program import this file and what it imports
PATHS = {'PYTHONPATH': os.pathsep.join([str(Path(__file__).parent), *sys.path])}
PROGRAM = """
import signal, sys, time
from test_worker_processes import children, net
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started without
made = net('ImageData')
made.forward()
try:
    print(*children(), flush=True)
    while True:
        made.forward()
except KeyboardInterrupt:
    print('interrupted', flush=True)
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_program(folder, number):
    with subprocess.Popen(
        [sys.executable, '-c', PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **PATHS},
    ) as program:
        workers = program.stdout.readline().split()
        assert len(workers) == 3
        # as a terminal does, to all of them
        (os.killpg if number == signal.SIGINT else os.kill)(program.pid, number)
        out, err = program.communicate(timeout=60)
    assert err == '' and out == ('interrupted\n' if number == signal.SIGINT else '')
    limit = time.time() + 20
    while any(Path('/proc', worker).exists() for worker in workers) and time.time() < limit:
        time.sleep(0.01)
    assert not [worker for worker in workers if Path('/proc', worker).exists()]


BUSY = """
import sys, time
from itertools import count
from test_worker_processes import ProcessPrefetcher, children, number
made = ProcessPrefetcher(([i] for i in count()), lambda item, slot: time.sleep(600 * item) or number(item, slot))
made.next()
print(*children(), flush=True)
"""


def test_a_program_does_not_wait_for_what_is_read_ahead(monkeypatch):
    monkeypatch.setenv('CAFFE_DATA_WORKERS', '3')
    program = subprocess.run(
        [sys.executable, '-c', BUSY],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **PATHS},
    )
    assert program.returncode == 0 and program.stderr == ''
    workers = program.stdout.split()
    assert len(workers) == 3 and not [worker for worker in workers if Path('/proc', worker).exists()]


@pytest.mark.parametrize('beside, workers', [('', 12), ('4', 3), ('100', 1)])
def test_processes_started_together_share_the_cores(monkeypatch, beside, workers):
    monkeypatch.delenv('CAFFE_DATA_WORKERS', raising=False)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', beside)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(12)))
    assert worker_count() == workers
