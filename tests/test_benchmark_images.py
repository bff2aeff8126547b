import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parent.parent / 'tools' / 'benchmark_images.py'


def run(*words):
    return subprocess.run([sys.executable, TOOL, '--pictures', '4', '--seconds', '0.01', *words], capture_output=True,
                          text=True)


def test_feeding_prints_what_is_wanted_taken_and_waited_for():
    told = run('--feed', '--tflops', '2000')
    assert told.returncode == 0, told.stderr
    rows = [line.rsplit(None, 7) for line in told.stdout.splitlines()[3:]]
    assert {row[0] for row in rows} == {'ImageData', 'LMDB', 'LMDB, encoded'}
    for _, _, cores, wanted, taken, waiting, most, scaling in rows:
        assert int(cores) >= 1 and float(wanted) > 0 and 0 < float(taken) <= 1.5 * float(wanted)
        assert 0 <= float(waiting) <= 100 and float(most) > 0 and float(scaling) > 0


def test_what_cannot_be_measured_is_refused():
    told = run('--host-cores', '0')
    assert told.returncode == 2 and 'cores of at least 1' in told.stderr
