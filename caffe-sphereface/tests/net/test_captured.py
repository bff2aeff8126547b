"""Forward passes as CUDA graphs: the outputs of the net as it is written, whatever happens between two passes."""

from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from caffe.device import set_cuda_graphs
from caffe.net import captured
from caffe.process_state import state
from gpu_mode import assert_same, gpu_mode, no_waiting, watch_replays
from training_run import write_pictures

FILLER = 'weight_filler { type: "xavier" }'
CONV = f'convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {FILLER} bias_filler {{ value: 0.1 }} }}'
NET = f"""
layer {{ name: "in" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 4 dim: 8 dim: 7 }} }} }}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1" {CONV} }}
layer {{ name: "norm" type: "BatchNorm" bottom: "conv1" top: "norm" }}
layer {{ name: "scale" type: "Scale" bottom: "norm" top: "norm" scale_param {{ bias_term: true }} }}
layer {{ name: "relu" type: "PReLU" bottom: "norm" top: "norm" }}
layer {{ name: "conv2" type: "Convolution" bottom: "norm" top: "conv2" {CONV} }}
layer {{ name: "sum" type: "Eltwise" bottom: "norm" bottom: "conv2" top: "sum" }}
layer {{ name: "max" type: "Pooling" bottom: "sum" top: "max" pooling_param {{ global_pooling: true }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "max" top: "fc"
  inner_product_param {{ num_output: 5 {FILLER} bias_filler {{ value: 0.2 }} }} }}
"""
USER = """
import caffe
class User(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top): top[0].data[...] = 2 * bottom[0].data
    def backward(self, top, down, bottom): pass
"""
PYTHON = (
    'layer { name: "user" type: "Python" bottom: "BOTTOM" top: "user" python_param { module: "user" layer: "User" } }'
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(state.log, 'level', 0)
    monkeypatch.setenv('CAFFE_DATA_WORKERS', '1')
    yield tmp_path
    set_cuda_graphs(None)


@pytest.fixture
def replays(monkeypatch):
    return watch_replays(monkeypatch)


def deployed(text=NET):
    """A net for inference with weights that are not trivial."""
    Path('deploy.prototxt').write_text(text)
    caffe.set_random_seed(1)
    net = caffe.Net('deploy.prototxt', caffe.TEST)
    values = np.random.default_rng(2)
    for blob in net.params['norm']:
        blob.data[...] = values.uniform(0.5, 1, blob.shape)
    return net


def outputs(between, text=NET, passes=14, graphs=True):
    """{pass: outputs} in GPU mode; `between(net, number)` is called before each pass and may give names to read."""
    with gpu_mode():
        set_cuda_graphs(graphs)
        net, seen = deployed(text), {}
        for number in range(passes):
            read = between(net, number) or []
            shape = net.blobs['data'].shape
            given = np.random.default_rng(number).standard_normal(shape)
            for name, values in net.forward(blobs=read, data=given).items():
                seen[f'{number} {name}'] = values.copy()
        return seen


def both(between, **settings):
    return outputs(between, graphs=False, **settings), outputs(between, **settings)


def assert_equal(one, other):
    assert_same(one, other, 1e-5 if torch.cuda.is_available() else 0)


def nothing(net, number):
    pass


def look_inside(net, number):
    return ['norm', 'conv1', 'max'] if number in (6, 7, 9) else []


def look_inside_always(net, number):
    return ['norm', 'conv1']


def change_weights(net, number):
    if number == 6:
        net.params['conv2'][0].data[...] *= 2


def change_weights_and_look(net, number):
    """What was computed before keeps its values."""
    if number == 6:
        before = net.blobs['norm'].data.copy()
        net.forward(data=np.zeros(net.blobs['data'].shape))
        net.params['conv1'][0].data[...] *= 2
        assert not np.array_equal(net.blobs['norm'].data, before)
    return ['norm'] if number > 6 else []


def load_weights(net, number):
    if number == 5:
        net.params['fc'][0].data[...] *= 3
        net.save('w.caffemodel')
        net.params['fc'][0].data[...] = 0
        net.copy_from('w.caffemodel')


def other_batch(net, number):
    if number in (6, 7):
        net.blobs['data'].reshape(3 - (number == 7), 4, 8, 7)
        net.reshape()


def parts_of_the_net(net, number):
    if number in (6, 9):
        net.blobs['norm'].data[...] = number
        net.forward(start='conv2')


def write_inside(net, number):
    if number == 6:
        net.blobs['fc'].data[...] = 3
        net.blobs['norm'].data[...] = 3


def write_input_in_place(net, number):
    """What is not computed yet follows from the input of its own pass."""
    if number == 9:
        with net.blobs['data'].changing() as tensor:
            tensor.zero_()
        assert net.blobs['conv1'].data.std() > 0.1


def hook(net, number):
    if number == 6:
        net.after_forward(lambda index: None)


def other_device(net, number):
    if number in (6, 8):
        caffe.set_mode_cpu() if number == 6 else caffe.set_mode_gpu()


@pytest.mark.parametrize(
    'between, least',
    [
        (nothing, 10),
        (look_inside, 5),
        (look_inside_always, 10),
        (change_weights, 6),
        (change_weights_and_look, 6),
        (load_weights, 6),
        (other_batch, 6),
        (parts_of_the_net, 3),
        (write_inside, 6),
        (write_input_in_place, 10),
        (hook, 2),
        (other_device, 4),
    ],
)
def test_a_replayed_forward_has_the_outputs_of_the_written_one(folder, replays, between, least):
    written, replayed = both(between)
    assert_same(written, replayed, 1e-5 if between in (look_inside, other_device) else 0)
    assert len(replays) >= least


@pytest.mark.parametrize('graphs, count', [(False, 0), (True, 3)])
def test_a_forward_waits_for_nothing_and_its_input_is_not_fetched_to_be_overwritten(folder, replays, graphs, count):
    with gpu_mode() as device:
        set_cuda_graphs(graphs)
        net = deployed()
        net.blobs['data'].data[...] = 3
        for _ in range(5):
            net.run_forward()
        with no_waiting(device):
            net.run_forward()
            net.blobs['data'].data[...] = 4
            net.run_forward()
        assert (net.blobs['data'].data == 4).all()
    assert len(replays) == count


@pytest.mark.parametrize('bottom, is_replayed', [('data', True), ('fc', False)])
def test_a_python_layer_runs_as_written(folder, replays, capsys, monkeypatch, bottom, is_replayed):
    Path('user.py').write_text(USER)
    monkeypatch.syspath_prepend(str(folder))
    layer = PYTHON.replace('BOTTOM', bottom)
    start = NET.index('layer { name: "conv1"')
    text = (
        NET + layer if bottom == 'fc' else NET[:start] + layer + NET[start:].replace('bottom: "data"', 'bottom: "user"')
    )
    assert_equal(*both(nothing, text=text))
    assert bool(replays) == is_replayed
    told = "forward of net '' is not captured: layer 'user' (Python): is a program, which may do anything"
    assert (told in capsys.readouterr().err) != is_replayed


def test_pictures_of_a_data_layer_come_to_where_the_graph_reads(folder, replays):
    write_pictures(folder)

    def losses(graphs):
        caffe.set_random_seed(1)
        with gpu_mode():
            set_cuda_graphs(graphs)
            net = caffe.Net('net.prototxt', caffe.TEST)
            return {str(k): np.array(float(net.run_forward())) for k in range(10)}

    assert_equal(losses(False), losses(True))
    assert len(replays) == 7


def test_passes_are_captured_once_they_are_settled_and_only_where_that_is_wanted(folder, replays, monkeypatch):
    for stated, count in (('0', 0), ('1', 2)):
        monkeypatch.setenv('CAFFE_CUDA_GRAPHS', stated)
        set_cuda_graphs(None)
        with gpu_mode():
            net = deployed()
            for _ in range(1 + captured.SETTLED + count):  # the first takes weights from the host
                net.forward()
        assert len(replays) == count


def test_a_wrong_value_of_the_variable_is_told(folder, monkeypatch):
    monkeypatch.setenv('CAFFE_CUDA_GRAPHS', 'yes')
    set_cuda_graphs(None)
    with pytest.raises(caffe.CaffeError, match="CAFFE_CUDA_GRAPHS='yes': expected 0 or 1"):
        deployed().forward()


def test_backward_follows_a_replayed_forward(folder, replays):
    def diffs(graphs):
        with gpu_mode():
            set_cuda_graphs(graphs)
            net, seen = deployed('force_backward: true ' + NET), {}
            for number in range(10):
                net.blobs['fc'].diff[...] = np.arange(10).reshape(2, 5)  # stated before the forward
                net.forward(data=np.random.default_rng(number).standard_normal(net.blobs['data'].shape))
                net.backward()
                seen[str(number)] = net.blobs['data'].diff.copy()
        return seen

    assert_equal(diffs(False), diffs(True))
    assert len(replays) >= 6


def test_nets_that_train_are_left_to_their_solvers(folder, replays):
    with gpu_mode():
        set_cuda_graphs(True)
        Path('deploy.prototxt').write_text(NET)
        net = caffe.Net('deploy.prototxt', caffe.TRAIN)
        for _ in range(6):
            net.forward()
    assert not replays
