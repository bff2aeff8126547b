"""A peer that falls silent without closing its connections: what a dead machine or a cut cable looks like."""

import os
import signal
import socket
import subprocess
import sys
from datetime import timedelta

import pytest
import torch.distributed as dist

from caffe.errors import CaffeError
from caffe.parallel import heartbeat
from caffe.parallel.heartbeat import SignsOfLife, keep_watch
from training_run import ENVIRONMENT, SOLVER, write_run

IMPATIENT = """
import sys
from caffe.cli.main import main
from caffe.parallel import heartbeat
heartbeat.PERIOD_SECONDS, heartbeat.LIMIT_SECONDS = 0.2, 5
sys.exit(main(['train', '-solver=solver.prototxt']))
"""


@pytest.fixture
def signs():
    """The SignsOfLife of three processes over one store, and the clock of all, as a list of one number."""
    store, time = dist.HashStore(), [0]
    made = [SignsOfLife(store, rank, 3, lambda: time[0]) for rank in range(3)]
    for rank in range(3):
        store.set(f'caffe/heartbeat/{rank}', 'start')
    return made, time


def test_those_who_give_signs_of_life_are_not_silent(signs):
    made, time = signs
    for _ in range(5):
        time[0] += 10
        for each in made:
            each.exchange()
        assert not any(each.silent(10) for each in made)


def test_who_gives_no_more_signs_is_named_once_the_limit_is_past(signs):
    (first, second, third), time = signs
    for each in (first, second, third):
        each.exchange()
    for time[0] in (10, 20, 30):
        second.exchange()
        first.exchange()
    assert first.silent(20) == []  # its sign was seen at 10
    time[0] = 31
    second.exchange()
    first.exchange()
    assert first.silent(20) == [2] and second.silent(20) == [2]


def test_nobody_is_silent_before_the_first_sign(signs):
    (first, *_), time = signs
    time[0] = 1000
    assert first.silent(1) == []


@pytest.fixture
def unused_port():
    """A port of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


def test_a_store_that_is_gone_is_told_in_one_line(monkeypatch, unused_port):
    monkeypatch.setattr(heartbeat, 'PATIENCE', timedelta(milliseconds=200))
    with pytest.raises(CaffeError, match=rf'^process 1: the training at 127.0.0.1:{unused_port} no longer answers'):
        keep_watch(('127.0.0.1', unused_port), 1, 2, print)


def start(folder, rank, port):
    environment = {
        **ENVIRONMENT,
        'RANK': str(rank),
        'WORLD_SIZE': '2',
        'LOCAL_RANK': str(rank),
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': str(port),
    }
    return subprocess.Popen(
        [sys.executable, '-c', IMPATIENT], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize('frozen', [0, 1])
def test_a_process_ends_when_another_falls_silent(tmp_path, frozen, unused_port):
    write_run(tmp_path, solver=SOLVER.replace('max_iter: 6', 'max_iter: 100000000'))
    both = [start(tmp_path, rank, unused_port) for rank in (0, 1)]
    try:
        while 'Iteration 3 (' not in both[0].stderr.readline():
            assert both[0].poll() is None
        os.kill(both[frozen].pid, signal.SIGSTOP)
        told = both[1 - frozen].communicate(timeout=60)[1]
    finally:
        for process in both:
            process.kill()
            process.wait()
    assert both[1 - frozen].returncode == 1
    assert f'process {1 - frozen} of 2 stops: nothing was heard of process {frozen} for 5 s' in told.splitlines()[-1]
