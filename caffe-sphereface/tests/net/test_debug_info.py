"""What debug_info writes to the log."""

import re

import numpy as np
import pytest

import caffe
from training_run import NET, SOLVER, write_run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(caffe.process_state.state.log, 'level', 0)  # whatever GLOG_minloglevel hides
    write_run(tmp_path)
    return tmp_path


def lines(capsys, kind):
    """The debug lines of a kind without their prefix."""
    return [match[1] for match in re.finditer(rf'\]     \[{kind}\] (.*)', capsys.readouterr().err)]


def number(told, what):
    """The number behind `what` in the debug lines."""
    return next(float(line.removeprefix(f'{what}: ')) for line in told if line.startswith(what))


def mean(values):
    return pytest.approx(np.abs(values).mean(), rel=1e-5)  # six digits are printed


def test_a_net_tells_of_its_forward(folder, capsys):
    (folder / 'debug.prototxt').write_text('debug_info: true\n' + NET)
    net = caffe.Net('debug.prototxt', caffe.TRAIN)
    net.forward()
    told = lines(capsys, 'Forward')
    assert number(told, 'Layer data, top blob data data') == mean(net.blobs['data'].data)
    assert number(told, 'Layer ip1, param blob 0 data') == mean(net.params['ip1'][0].data)
    assert number(told[-1:], 'Layer loss, top blob loss data') == mean(net.blobs['loss'].data)
    # ip1 is changed in place by relu, which tells of the same blob
    assert sum('top blob ip1' in line for line in told) == 2


def test_layers_of_one_name_tell_of_their_own_blobs(folder, capsys):
    twins = (
        'layer { name: "twin" type: "Split" bottom: "ip2" top: "one" top: "two" }'
        'layer { name: "twin" type: "Power" bottom: "two" top: "three" }'
        'layer { name: "end" type: "EuclideanLoss" bottom: "one" bottom: "three" top: "end" }'
    )
    (folder / 'debug.prototxt').write_text('debug_info: true force_backward: true\n' + NET + twins)
    net = caffe.Net('debug.prototxt', caffe.TRAIN)
    net.forward()
    assert _twins(lines(capsys, 'Forward')) == ['top blob one', 'top blob two', 'top blob three']
    net.backward()
    assert _twins(lines(capsys, 'Backward')) == ['bottom blob two', 'bottom blob ip2_ip2_0_split_1']


def _twins(told):
    return [re.search(r'(\w+ blob \w+)', line)[1] for line in told if 'Layer twin' in line]


def test_a_net_tells_of_its_backward_and_the_norms_of_all(folder, capsys):
    (folder / 'debug.prototxt').write_text('debug_info: true\n' + NET)
    net = caffe.Net('debug.prototxt', caffe.TRAIN)
    net.forward()
    net.clear_param_diffs()
    net.backward()
    told = lines(capsys, 'Backward')
    assert told[0].startswith('Layer loss, bottom blob ip2 diff: ')
    assert number(told, 'Layer ip2, param blob 1 diff') == mean(net.params['ip2'][1].diff)
    assert not any('label' in line or 'bottom blob data' in line for line in told)
    blobs = [blob for blobs in net.params.values() for blob in blobs]
    one = [sum(np.abs(getattr(blob, side)).sum() for blob in blobs) for side in ('data', 'diff')]
    two = [np.sqrt(sum(np.square(getattr(blob, side)).sum() for blob in blobs)) for side in ('data', 'diff')]
    numbers = [float(number) for number in re.findall(r'[\d.]+(?:e-?\d+)?(?=[,)])', told[-1])]
    assert told[-1].startswith('All net params (data, diff): L1 norm = (')
    assert np.allclose(numbers, [*one, *two], rtol=1e-4)


def test_a_solver_tells_when_it_displays(folder, capsys):
    (folder / 'solver.prototxt').write_text(SOLVER.replace('display: 1', 'display: 3') + 'debug_info: true')
    solver = caffe.get_solver('solver.prototxt')
    solver.step(5)
    text = capsys.readouterr().err
    assert text.count('[Update] Layer ip1, param 0 data: ') == 2
    assert text.count('[Backward] All net params') == 2 and text.count('[Forward] Layer relu, top blob ip1') == 2


def test_nothing_is_told_without_it(folder, capsys):
    caffe.get_solver('solver.prototxt').step(2)
    assert '[Forward]' not in capsys.readouterr().err


def test_a_solver_decides_for_its_net(folder, capsys):
    (folder / 'net.prototxt').write_text('debug_info: true\n' + NET)
    caffe.get_solver('solver.prototxt').step(2)
    assert '[Forward]' not in capsys.readouterr().err
