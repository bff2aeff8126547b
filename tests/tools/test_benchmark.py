import json
import subprocess
import sys

import benchmark
import numpy as np
import pytest
import torch
import torch._dynamo  # noqa: F401 (optimizers of PyTorch 2.4 do, which fails where the stand-in is in place)
from benchmarks import peers
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
    assert (row['kind'], row['net'], row['batch']) == ('infer', 'sphereface-4', 1)
    assert row['difference']['torch'] == 0 < row['difference']['caffe'] <= 1e-4
    assert row['ratio'] == {'torch': row['wall_ms']['torch'] / row['wall_ms']['caffe']}
    assert f'{row["ratio"]["torch"]:.2f}' in (tmp_path / 'report.md').read_text()


def test_a_contender_that_computes_something_else_is_named(monkeypatch, capsys):
    outputs = {'caffe': [2.0, 4.00001], 'torch': [2.0, 4.0], 'onnxruntime': [2.0, 5.0], 'opencv': [float('nan'), 4.0]}
    contenders = {who: lambda values=values: np.array(values) for who, values in outputs.items()}
    monkeypatch.setattr(benchmark, 'inference', lambda *_: contenders)
    monkeypatch.setattr('sys.argv', ['benchmark.py', '--only', 'infer mobile', '--seconds', '0.01'])
    with pytest.raises(SystemExit, match='onnxruntime differs by 2e-01, opencv differs by nan') as ended:
        benchmark.main()
    assert 'caffe differs' not in str(ended.value) and 'torch differs' not in str(ended.value)
    row = capsys.readouterr().out.split('\n\n')[1].splitlines()[-1]
    assert row.split()[5:7] == ['-', 'differs'] and float(row.split()[4]) > 0


def test_there_is_no_ratio_where_the_engine_differs_from_pytorch():
    row = {'difference': {'caffe': 0.5, 'torch': 0.0, 'opencv': 0.0}, 'ratio': {}}
    assert benchmark.differing(row) == ['caffe'] and benchmark.ratios({'caffe': 1, 'torch': 2}, ['caffe']) == {}
    assert [benchmark.ratio(row, who) for who in ('torch', 'compiled', 'opencv')] == ['differs', '-', 'differs']


def test_no_two_biases_of_a_compared_net_are_the_same(monkeypatch):
    monkeypatch.setitem(peers._IMPORTERS, 'opencv', lambda peer, *_: peer)
    module = peers.inference('sphereface-4', 1, 1, ['opencv'], torch.device('cpu'))['opencv']
    biases = [tuple(values.tolist()) for name, values in module.named_parameters() if name.endswith('bias')]
    assert len(set(biases)) == len(biases) > 1


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
