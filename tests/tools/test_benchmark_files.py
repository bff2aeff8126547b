"""tools/benchmark_files.py on small exported nets."""

import re

import benchmark_files
import pytest
from sphereslim.errors import SlimError

from caffe.export.ncnn.files import export_ncnn
from caffe.export.onnx_file import export_onnx
from layer_case import layer, make_net


def test_files_of_a_reader_are_compared_with_its_first(tmp_path, monkeypatch, capsys):
    pytest.importorskip('ncnn')
    pytest.importorskip('onnxruntime')
    net = make_net(
        layer('Convolution', extra='convolution_param { num_output: 2 kernel_size: 3 }'), {'x': (1, 3, 8, 8)}
    )
    for name in ('a', 'b'):
        export_onnx(net, str(tmp_path / f'{name}.onnx'), any_batch=True)
        export_ncnn(net, str(tmp_path / f'{name}.param'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('sys.argv', ['benchmark_files', 'a.onnx', 'b.onnx', 'a.param', 'b.param', '--seconds', '0.01'])
    benchmark_files.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert [row[0] for row in rows] == ['a.onnx', 'b.onnx', 'a.param', 'b.param']
    assert [row[2] for row in rows if row[0].startswith('a')] == ['1.00', '1.00']
    assert all(re.fullmatch(r'\d+\.\d\d', number) for row in rows for number in row[1:])


def test_a_file_of_no_reader_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr('sys.argv', ['benchmark_files', 'net.txt'])
    with pytest.raises(SlimError, match='net.txt: expected a file that ends in .onnx or .param'):
        benchmark_files.main()
