"""The checks that want a GPU: a dry run of every part on the CPU, and what a part that goes wrong leaves behind."""

import json
import os
import subprocess
import sys
import time
from importlib import import_module
from types import ModuleType

import pytest
from gpu_check import has_failed
from gpu_checks import PARTS
from gpu_checks.check import Check, PassedOver
from gpu_checks.runner import run_part
from repository import ROOT

from gpu_mode import gpu_mode

# the tool in a Python without the packages that the machines with a GPU lack
WITHOUT = """
import runpy, sys
sys.modules.update(dict.fromkeys(('lmdb', 'plyvel')))
sys.path.insert(0, 'tools')
runpy.run_path('tools/gpu_check.py', run_name='__main__')
"""
SCRIPT = """
import sys, caffe
caffe.set_mode_cpu()
print('FAIL conv off by 0.5')
print('2 of 3 things hold')
sys.exit(1)
"""


def check_with(out, *words, shared='nowhere'):
    """(the finished process, report.json) of a dry run."""
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT, '--device', 'cpu', '--tiny', '--share', '9', '--out', out, *words],
        cwd=ROOT,
        env={**os.environ, 'SHARED': str(shared)},
        capture_output=True,
        text=True,
    )
    return done, json.loads((out / 'report.json').read_text())


def test_a_dry_run_goes_through_every_part_without_gpu_lmdb_and_published_data(tmp_path):
    done, report = check_with(tmp_path)
    assert done.returncode == 0, done.stdout + (tmp_path / 'log.txt').read_text()
    parts = report['parts']
    assert list(parts) == list(PARTS)
    passed_over = {name for name, known in parts.items() if known['outcome'].startswith('passed over')}
    assert passed_over == {'goldens', 'trajectories', 'mtcnn', 'compiled'}
    for name in parts.keys() - passed_over:
        assert parts[name]['outcome'] == 'done' and parts[name]['figures'], name
    assert {'lmdb', 'plyvel'} <= parts['machine']['passed over'].keys()
    assert 'takes the package lmdb' in parts['pictures']['passed over']['LMDB']
    table = (tmp_path / 'report.md').read_text()
    assert all(f'| {name} |' in table for name in PARTS)


@pytest.mark.parametrize('name', ['parity', 'graphs', 'pictures', 'full_scale'])
def test_what_a_part_asks_of_the_engine_runs_in_gpu_mode(name, tmp_path, monkeypatch):
    monkeypatch.setenv('CAFFE_DATA_WORKERS', '1')
    sent = []
    with gpu_mode():
        import_module(f'gpu_checks.{name}').run(Check('cuda', True, tmp_path, tmp_path, sent.append))
    assert sent and {kind for kind, _, _ in sent} == {'figures'}, sent


def test_what_does_not_hold_against_the_published_numbers_is_told(tmp_path):
    shared = tmp_path / 'shared'
    for folder in ('tools', 'goldens/layers', 'goldens/fork-layers'):
        (shared / folder).mkdir(parents=True)
    (shared / 'tools' / 'check_goldens.py').write_text(SCRIPT)
    done, report = check_with(tmp_path / 'out', '--part', 'goldens', shared=shared)
    assert done.returncode == 1 and done.stderr == 'gpu_check: look at goldens\n'
    assert report['parts']['goldens']['figures']['layers'] == {'hold': 2, 'of': 3}
    assert report['parts']['goldens']['wrong']['fork-layers'] == ['conv off by 0.5']


def test_all_parts_together_take_less_than_eight_minutes():
    assert sum(PARTS.values()) < 8 * 60


@pytest.fixture
def part(tmp_path, monkeypatch):
    """A function (the `run` of a part, its seconds) -> what is known of it at the end."""

    def run(work, seconds=60.0):
        module = ModuleType('gpu_checks.made_up')
        module.run = work
        monkeypatch.setitem(sys.modules, 'gpu_checks.made_up', module)
        states = []
        check = Check('cpu', True, tmp_path, tmp_path, states.append)
        run_part('made_up', seconds, check, tmp_path / 'log.txt', lambda known: states.append(json.dumps(known)))
        assert '"running"' in states[0]
        return json.loads(states[-1])

    return run


def test_a_part_over_its_time_is_stopped_with_what_it_started_and_its_figures_stay(part, tmp_path):
    def slow(check):
        check.figure('first', 1)
        child = subprocess.Popen(['sleep', '60'])
        (tmp_path / 'child').write_text(str(child.pid))
        time.sleep(60)

    known = part(slow, 1.5)
    assert known['outcome'] == 'stopped after its 1.5 s' and known['figures'] == {'first': 1}
    command = f'/proc/{(tmp_path / "child").read_text()}/cmdline'
    assert not os.path.exists(command) or 'sleep' not in open(command).read()


def test_what_fails_apart_is_told_and_the_part_goes_on(part):
    def run(check):
        with check.apart('row 1'):
            raise ValueError('no')
        check.figure('row 2', 1)

    known = part(run)
    assert known['wrong'] == {'row 1': 'ValueError: no'} and known['figures'] == {'row 2': 1}
    assert known['outcome'] == 'done' and has_failed(known)


def raising(error):
    def run(check):
        check.figure('first', 1)
        raise error

    return run


@pytest.mark.parametrize(
    'work, outcome',
    [
        (lambda check: check.figure('first', 1), 'done'),
        (raising(ValueError('no\nsuch luck')), 'failed: ValueError: no'),
        (raising(PassedOver('no data')), 'passed over: no data'),
        (raising(ModuleNotFoundError('No module named lmdb', name='lmdb')), 'passed over: No module named lmdb'),
        (raising(ModuleNotFoundError('gone', name='caffe.net')), 'failed: ModuleNotFoundError: gone'),
        (lambda check: (check.figure('first', 1), os._exit(3)), 'failed: its process ended with status 3'),
    ],
)
def test_how_a_part_ended_is_told_and_its_figures_stay(part, work, outcome):
    known = part(work)
    assert known['outcome'] == outcome and known['figures'] == {'first': 1} and known['seconds'] < 60
