import json
import subprocess
import sys

import pytest
import torch
import torch._dynamo  # noqa: F401 (optimizers of PyTorch 2.4 do, which fails where the stand-in is in place)
from benchmarks.peers import choose_device, training
from repository import ROOT

from gpu_mode import gpu_mode


def run(*words):
    return subprocess.run(
        [sys.executable, ROOT / 'tools' / 'benchmark.py', *map(str, words)], capture_output=True, text=True
    )


def test_a_row_compares_the_engine_with_the_module(tmp_path):
    told = run(
        '--full',
        '--no-compile',
        '--only',
        'infer sphereface-4 1',
        '--peers',
        'torch',
        '--seconds',
        0.1,
        '--json',
        tmp_path / 'report.json',
        '--markdown',
        tmp_path / 'report.md',
    )
    assert told.returncode == 0, told.stderr
    report = json.loads((tmp_path / 'report.json').read_text())
    [row] = report['rows']
    assert (row['kind'], row['net'], row['batch']) == ('infer', 'sphereface-4', 1) and row['difference'] <= 1e-4
    assert row['ratio'] == {'torch': row['wall_ms']['torch'] / row['wall_ms']['caffe']}
    assert f'{row["ratio"]["torch"]:.2f}' in (tmp_path / 'report.md').read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_not_there_is_refused_in_one_line():
    told = run('--gpu', 0)
    assert told.returncode == 1 and 'no CUDA device' in told.stderr and len(told.stderr.splitlines()) == 1


def test_the_engine_trains_on_the_gpu_what_the_module_does():
    with gpu_mode() as standin:
        # modules do not train on the stand-in
        contenders = training('sphereface-4', 2, ['torch'], choose_device(0) if not standin else torch.device('cpu'))
        losses = {who: float(step()) for who, step in contenders.items()}
        # after a step they differ: SphereFace's gradient is not the derivative, the module's is
        assert float(contenders['caffe']()) < losses['caffe']
    assert abs(losses['caffe'] - losses['torch']) <= 1e-4 * losses['torch']
