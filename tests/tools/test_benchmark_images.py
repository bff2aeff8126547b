import os
import subprocess
import sys
from types import SimpleNamespace

from repository import ROOT

TOOL = ROOT / 'tools' / 'benchmark_images.py'


def run(*words):
    """The command on one core, which makes the fewest rows."""
    core = min(os.sched_getaffinity(0))
    return subprocess.run(
        [sys.executable, TOOL, '--pictures', '4', '--seconds', '0.01', *words],
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, [core]),
    )


def rows(told, columns):
    assert told.returncode == 0, told.stderr
    return [line.rsplit(None, columns) for line in told.stdout.splitlines()[3:]]


def test_feeding_prints_what_is_wanted_taken_and_waited_for():
    *found, once = rows(run('--feed', '--tflops', '2000'), 11)
    assert 'dropped from the page cache' in ' '.join(once)
    assert [row[0] for row in found] == [kind for kind in ('ImageData', 'LMDB', 'LMDB, encoded') for _ in range(2)]
    assert [row[1] for row in found] == 3 * ['threads', 'processes']
    for row in found:
        cores, wanted, taken, waiting, ready, median, high, longest, launches, most = map(float, row[2:])
        assert cores == 1 and 0 < taken <= 1.5 * wanted and 0 <= waiting <= 100
        assert 0 < median <= high <= longest and ready > 0 and launches > 0 and most > 0


def test_training_prints_the_iterations_of_the_log(tmp_path, monkeypatch, capsys):
    for name in ('CAFFE_DATA_WORKERS', 'CAFFE_DATA_PROCESSES'):
        monkeypatch.setenv(name, '1')
    monkeypatch.syspath_prepend(TOOL.parent)
    from benchmarks import feeding, pictures

    monkeypatch.setattr(feeding, 'LAYERS', ['ImageData'])
    monkeypatch.setattr(feeding, 'WORKERS', {'processes': '1'})
    monkeypatch.setattr(feeding, 'allowed', lambda: [1])
    pictures.make_pictures(tmp_path, 4)
    feeding.train(tmp_path, SimpleNamespace(tflops=2000, host_cores=16, seconds=0.01))
    nothing, fed = (line.split() for line in capsys.readouterr().out.splitlines()[3:])
    assert nothing[0] == 'nothing' and float(nothing[-1]) == 0 and fed[:2] == ['ImageData', 'processes']
    for row in (nothing, fed):
        cores, _, taken, mean, median, high, longest, stall = map(float, row[-8:])
        assert cores == 1 and taken > 0 and 0 < median <= high <= longest and mean <= longest and stall < 100


def test_what_cannot_be_measured_is_refused():
    told = run('--host-cores', '0')
    assert told.returncode == 2 and 'host-cores: 0, expected a whole number of at least 1' in told.stderr
