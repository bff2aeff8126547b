"""CPU time by part, over runs that stop and go on."""

import subprocess
import sys
import time

import pytest
from sphereslim.compression.cpu_time import CpuTime
from sphereslim.files import ResultsFile

BUSY = 'import time\nwhile time.process_time() < 0.3: pass'


def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_each_part_has_its_own_and_sleep_costs_nothing(tmp_path):
    spent = CpuTime(ResultsFile(tmp_path / 'results.json'))
    spent.begin('waiting')
    time.sleep(0.2)
    spent.begin('working')
    work(0.2)
    spent.end()
    found = spent.seconds()
    assert found['waiting'] < 0.1 and 0.2 <= found['working'] < 0.3


def test_processes_below_count(tmp_path):
    spent = CpuTime(ResultsFile(tmp_path / 'results.json'))
    spent.begin('training')
    subprocess.run([sys.executable, '-c', BUSY], check=True)
    spent.end()
    assert spent.seconds()['training'] >= 0.3


def test_a_part_that_goes_on_is_added_up(tmp_path):
    path = tmp_path / 'results.json'
    for _ in range(2):
        spent = CpuTime(ResultsFile(path))
        spent.begin('working')
        work(0.1)
        spent.end()
        work(0.1)  # counts for nothing
    assert CpuTime(ResultsFile(path)).seconds() == {'working': pytest.approx(0.2, abs=0.06)}
