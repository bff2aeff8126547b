"""Forked children of a process that has computed with several threads: they compute on, and the same numbers."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch

import caffe
from caffe import fork
from caffe.blobs.blob import Blob
from caffe.data.datum import planes_to_datum
from caffe.data.prefetch.threads import Prefetcher
from caffe.errors import CaffeError
from caffe.parallel.peers import Peers
from caffe.process_state import ProcessState, state
from gpu_mode import gpu_mode

NET = """
layer { name: "d" type: "Data" top: "data" top: "label" transform_param { scale: 0.01 mirror: true }
        data_param { source: "lmdb" backend: LMDB batch_size: 16 } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 24 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "p" type: "PReLU" bottom: "c" top: "c" }
layer { name: "f" type: "InnerProduct" bottom: "c" top: "f"
        inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "label" top: "loss" }
"""
SOLVER = 'train_net: "net.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" random_seed: 5 solver_mode: CPU'

# the parent computes, forks, and computes what the child did: both print the same line, for each of three kinds of work
SCRIPT = """
import hashlib, multiprocessing, os, signal, sys
import caffe, torch

torch.set_num_threads(3)
caffe.init_log(2)
solver = caffe.SGDSolver('solver.prototxt')
solver.step(2)
solver.net.forward()

def new_net():
    caffe.set_random_seed(7)
    net = caffe.Net('net.prototxt', caffe.TRAIN)
    net.forward()
    return net

def work(what):
    net = new_net() if what == 'new net' else solver.net
    if what == 'forward':
        net.forward()
    elif what == 'step':
        solver.step(3)
    values = [blob.data for blobs in net.params.values() for blob in blobs] + [net.blobs[n].data for n in ('f', 'loss')]
    digest = hashlib.sha1(b''.join(v.tobytes() for v in values)).hexdigest()
    print(f'{what}: {torch.get_num_threads()} threads {digest}', flush=True)

def child(what):
    signal.alarm(60)
    work(what)

for what in ('forward', 'new net', 'step'):
    if sys.argv[1] == 'os.fork':
        if not os.fork():
            child(what)
            os._exit(0)
        os.wait()
    else:
        process = multiprocessing.get_context('fork').Process(target=child, args=(what,))
        process.start()
        process.join()
    work(what)
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a net that reads an LMDB of noise, and its solver."""
    planes = np.random.default_rng(1).integers(0, 256, (40, 3, 40, 40), np.uint8)
    with lmdb.open(str(tmp_path / 'lmdb')) as database, database.begin(write=True) as write:
        for i, picture in enumerate(planes):
            write.put(f'{i:03}'.encode(), planes_to_datum(picture, i % 10).SerializeToString())
    (tmp_path / 'net.prototxt').write_text(NET)
    (tmp_path / 'solver.prototxt').write_text(SOLVER)
    return tmp_path


def lines_of(folder, how, **environment):
    """The lines that SCRIPT prints in `folder`, and what it writes to standard error."""
    path = os.pathsep.join([str(Path(caffe.__file__).parents[1]), os.environ.get('PYTHONPATH', '')])
    environment = {**os.environ, 'OMP_NUM_THREADS': '3', 'PYTHONPATH': path, **environment}
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT, how], cwd=folder, env=environment, capture_output=True, timeout=250
    )
    return done.stdout.decode().splitlines(), done.stderr.decode()


@pytest.mark.parametrize('how', ['os.fork', 'multiprocessing'])
def test_a_forked_child_computes_what_its_parent_does(folder, how):
    lines, errors = lines_of(folder, how)
    assert lines[::2] == lines[1::2] and len(set(lines)) == 3, (lines, errors[-2000:])
    assert all(': 3 threads ' in line for line in lines)


def test_a_forked_child_reads_on_with_worker_processes_of_its_own(folder):
    lines, errors = lines_of(folder, 'os.fork', CAFFE_DATA_PROCESSES='1', CAFFE_DATA_WORKERS='2')
    assert lines[::2] == lines[1::2] and len(set(lines)) == 3, (lines, errors[-2000:])


def in_child(function):
    """What `function` returns in a forked child, as text."""
    here, there = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(there, str(function()).encode())
        finally:
            os._exit(0)
    os.close(there)
    with os.fdopen(here, 'rb') as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    return text


def test_a_fork_in_the_middle_of_loading_neither_loses_nor_repeats_items():
    reached, go_on, parent = threading.Event(), threading.Event(), os.getpid()

    def load(item, place):
        if item == 21 and os.getpid() == parent:
            reached.set()
            go_on.wait(30)
        place((1,), np.dtype('f4'))[:] = item
        return item

    def plan():
        for start in range(0, 80, 10):
            yield list(range(start, start + 10))

    prefetcher = Prefetcher(plan(), load, 10)
    first = prefetcher.next().labels.tolist()
    assert reached.wait(30)  # a thread holds an item of the third batch, others are ready or wait for one
    rest = in_child(lambda: [prefetcher.next().labels.tolist() for _ in range(7)])
    go_on.set()
    here = [prefetcher.next().labels.tolist() for _ in range(7)]
    assert first == list(range(10)) and here == [list(range(n, n + 10)) for n in range(10, 80, 10)]
    assert rest == str(here)
    prefetcher.stop()


def test_where_openmp_cannot_end_its_threads_a_child_does_without(monkeypatch):
    monkeypatch.setattr(fork, '_pause', None)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert in_child(torch.get_num_threads) == '1' and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_child_of_a_process_on_a_gpu_is_told_so_and_can_use_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    monkeypatch.setattr(state, 'device', torch.device('cuda', 0))

    def attempt():
        told = []
        for action in (caffe.device.device, caffe.set_mode_gpu, lambda: caffe.set_device(1)):
            try:
                action()
            except CaffeError as error:
                told.append('was forked from one that had used the GPU' in str(error))
        caffe.set_mode_cpu()
        return told, caffe.device.device()

    assert in_child(attempt) == "([True, True, True], device(type='cpu'))"
    assert state.device.type == 'cuda' and state.gpu_works


def test_values_on_a_gpu_are_told_to_be_lost_in_a_child_that_computes_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    blob = Blob(2, name='x')

    def attempt():
        caffe.set_mode_cpu()
        try:
            return blob.data
        except CaffeError as error:
            return error

    with gpu_mode():
        blob.tensor = torch.ones(2, device='cuda')
        assert 'was forked from one that had used the GPU' in in_child(attempt)
        assert blob.data.tolist() == [1, 1]


def test_a_child_of_one_of_several_processes_of_a_training_is_told_so():
    peers = Peers.__new__(Peers)
    peers.rank, peers.count, peers._process = 0, 2, os.getpid()

    def attempt():
        try:
            peers.finish()
        except CaffeError as error:
            return error

    assert 'was forked from process 0 of 2' in in_child(attempt)


def test_who_follows_forks_is_forgotten_with_its_last_reference():
    follower = ProcessState()
    fork.follow(follower)
    count = len(fork._followers)
    del follower
    assert len(fork._followers) == count - 1
