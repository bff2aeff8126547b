"""`sphereslim check`: what it prints, and its status."""

import numpy as np
import pytest
from sphereslim.net.prototxt import parse_net, write_prototxt

import caffe

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 8, 8] } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "act" type: "PReLU" bottom: "conv" top: "conv" }
"""


@pytest.fixture
def work(tmp_path):
    write_prototxt(tmp_path / 'net.prototxt', parse_net(NET))
    net = caffe.Net(str(tmp_path / 'net.prototxt'), caffe.TEST)
    net.save(str(tmp_path / 'net.caffemodel'))
    net.params['conv'][0].data[0] = np.nan
    net.save(str(tmp_path / 'nan.caffemodel'))
    return tmp_path


def test_a_net_that_the_target_takes_ends_with_the_way_there(run):
    lines = run('check', 'net.prototxt net.caffemodel --for ncnn').splitlines()
    assert lines[0].startswith('slower  ') and lines[1].strip() == 'conv (6)'
    assert lines[-1].startswith('net.prototxt: ncnn 1.0.20261020 takes it: caffe export -ncnn')


@pytest.mark.parametrize(
    'words, told, end',
    [
        ('net.prototxt --for k210', 'cannot  PReLU: there is no such layer', 'cannot take it as it is: 1 of 3 layers'),
        (
            'net.prototxt nan.caffemodel --for bvlc',
            'cannot  weights that are not finite numbers',
            'cannot take it as it is: 1 of 3 layers',
        ),
    ],
)
def test_a_net_that_it_cannot_take_ends_with_status_1(run, capsys, words, told, end):
    with pytest.raises(SystemExit) as stop:
        run('check', words)
    assert told in capsys.readouterr().out
    assert str(stop.value.code).startswith('error: net.prototxt: ') and str(stop.value.code).endswith(end)
