"""`caffe export` as a command: it says what it wrote, and nothing else unless asked."""

import subprocess

import pytest

from training_run import COMMAND, ENVIRONMENT

pytest.importorskip('onnx')

DEPLOY = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }
"""


@pytest.mark.parametrize('flags, is_quiet', [([], True), (['-minloglevel=0'], False)])
def test_an_export_prints_one_line_and_logs_on_request_only(tmp_path, flags, is_quiet):
    (tmp_path / 'net.prototxt').write_text(DEPLOY)
    environment = {name: value for name, value in ENVIRONMENT.items() if name != 'GLOG_minloglevel'}
    words = [*COMMAND, 'export', '-onnx', 'net.onnx', '-model', 'net.prototxt', *flags]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == 'net.onnx: inputs x; outputs y\n', done.stderr
    assert (done.stderr == '') is is_quiet
    assert (tmp_path / 'net.onnx').stat().st_size
