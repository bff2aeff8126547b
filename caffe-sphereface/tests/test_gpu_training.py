"""Training and inference in GPU mode: the numbers of the CPU, nothing waited for between two displays."""

import re
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
import torch.distributed as dist

import caffe
from caffe.blobs.memory_format import is_channels_last, set_gpu_channels_last
from caffe.cli.main import main
from caffe.net.fused_groups import Group
from caffe.parallel.peers import Peers
from gpu_mode import assert_same, gpu_mode, no_waiting, on_both
from training_run import write_pictures, write_run

FILLER = 'weight_filler { type: "xavier" }'
CONV = f'convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 {FILLER} bias_filler {{ value: 0.1 }} }}'
NET = f"""
layer {{ name: "in" type: "Input" top: "data" top: "label"
  input_param {{ shape {{ dim: 4 dim: 3 dim: 9 dim: 8 }} shape {{ dim: 4 }} }} }}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 bias_term: false {FILLER} }} }}
layer {{ name: "norm" type: "BatchNorm" bottom: "conv1" top: "conv1" }}
layer {{ name: "scale" type: "Scale" bottom: "conv1" top: "conv1" scale_param {{ bias_term: true }} }}
layer {{ name: "relu1" type: "PReLU" bottom: "conv1" top: "conv1" }}
layer {{ name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2" {CONV} }}
layer {{ name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }}
layer {{ name: "sum" type: "Eltwise" bottom: "conv1" bottom: "conv2" top: "sum" }}
layer {{ name: "lrn" type: "LRN" bottom: "sum" top: "lrn" }}
layer {{ name: "both" type: "Concat" bottom: "lrn" bottom: "conv2" top: "both" }}
layer {{ name: "max" type: "Pooling" bottom: "both" top: "max" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "mean" type: "Pooling" bottom: "max" top: "mean"
  pooling_param {{ pool: AVE kernel_size: 3 stride: 2 }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "mean" top: "fc"
  inner_product_param {{ num_output: 5 {FILLER} bias_filler {{ value: 0.2 }} }} }}
layer {{ name: "angle" type: "MarginInnerProduct" bottom: "fc" bottom: "label" top: "angle" top: "lambda"
  param {{ name: "classes" }}
  margin_inner_product_param {{ num_output: 3 type: QUADRUPLE base: 10 {FILLER} }} }}
layer {{ name: "spread" type: "InterClass" bottom: "fc" bottom: "label" top: "spread" param {{ name: "classes" }}
  inter_class_param {{ num_output: 3 type: MEAN alpha_start_iter: 1 alpha_start_value: 1 {FILLER} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "angle" bottom: "label" top: "loss" }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "angle" bottom: "label" top: "accuracy" }}
"""
DEPLOY = (
    'input: "data" input_shape { dim: 2 dim: 3 dim: 8 dim: 8 } '
    + NET[NET.index('layer { name: "conv1"') : NET.index('layer { name: "angle"')]
)
KINDS = {
    'SGD': 'momentum: 0.9',
    'Nesterov': 'momentum: 0.9',
    'AdaGrad': '',
    'RMSProp': 'rms_decay: 0.9',
    'AdaDelta': 'momentum: 0.9 delta: 1e-3',
    'Adam': 'momentum: 0.9',
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('CAFFE_DATA_WORKERS', '2')
    return tmp_path


def solver(kind='SGD', extra=''):
    Path('net.prototxt').write_text(NET)
    Path('solver.prototxt').write_text(
        f'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" weight_decay: 0.01 random_seed: 3 type: "{kind}" '
        f'snapshot_prefix: "s" {KINDS[kind]} {extra}'
    )
    made = caffe.get_solver('solver.prototxt')
    for net in [made.net, *made.test_nets]:
        values = np.random.default_rng(1)
        net.blobs['data'].data[...] = values.standard_normal(net.blobs['data'].shape)
        net.blobs['label'].data[...] = [0, 2, 1, 2]
    return made


def state_of(made):
    """Parameters, diffs, history and outputs of a solver as arrays by name."""
    arrays = {name: made.net.blobs[name].data.copy() for name in made.net.outputs}
    for name, blobs in made.net.params.items():
        arrays.update((f'{name}[{i}]', blob.data.copy()) for i, blob in enumerate(blobs))
    arrays.update((f'history {i}', h.cpu().numpy().copy()) for i, h in enumerate(made.updater.history))
    return arrays


@pytest.mark.parametrize('kind', KINDS)
def test_a_training_takes_the_course_of_the_cpu(folder, kind):
    def outcome():
        made = solver(kind, 'iter_size: 2 clip_gradients: 3')
        made.step(4)
        return state_of(made)

    assert_same(*on_both(outcome), 1e-3)


@pytest.mark.parametrize('kind', KINDS)
def test_python_sees_the_weights_after_a_step_that_it_looked_at_before(folder, kind):
    with gpu_mode():
        made = solver(kind)
        blobs = [blob for name in ('conv1', 'fc', 'angle') for blob in made.net.params[name]]
        before = [blob.data.copy() for blob in blobs]
        made.step(1)
        after = [blob.data.copy() for blob in blobs]
        assert all((one != other).any() for one, other in zip(before, after))
        for blob, array in zip(blobs, after):
            np.testing.assert_array_equal(blob.tensor.cpu().numpy(), array)


def test_a_step_between_displays_waits_for_nothing(folder):
    with gpu_mode() as device:
        made = solver(extra='iter_size: 2 average_loss: 3 display: 100')
        made.step(2)
        with no_waiting(device):
            made.step(3)


@pytest.fixture
def gpu_channels_last():
    set_gpu_channels_last(True)
    yield
    set_gpu_channels_last(False)


@pytest.mark.parametrize('precision, tolerance', [('fp32', 1e-3), ('bf16', 0.05)])
def test_channels_last_is_kept_on_the_gpu_where_it_was_chosen(folder, gpu_channels_last, precision, tolerance):
    def outcome():
        caffe.set_precision(precision)
        made = solver()
        made.step(3)
        caffe.set_precision('fp32')
        if made.net.blobs['conv2'].tensor.device.type == 'cuda':
            assert all(is_channels_last(made.net.blobs[name].tensor) for name in ('conv1', 'conv2', 'max'))
        return state_of(made)

    assert_same(*on_both(outcome), tolerance)


def test_a_step_in_channels_last_waits_for_nothing(folder, gpu_channels_last):
    with gpu_mode() as device:
        made = solver()
        made.step(2)
        with no_waiting(device):
            made.step(3)


def test_averaging_over_processes_waits_for_the_step_before_alone(folder, monkeypatch):
    parts = []
    monkeypatch.setattr(dist, 'init_process_group', lambda *_, **__: None)
    monkeypatch.setattr(dist, 'all_reduce', lambda part, async_op: parts.append(part) or mock.Mock())
    with gpu_mode() as device:
        made, asked = solver(), ['snapshot']
        made.action = lambda: asked.pop() if asked else None
        Peers(None, 0, 1).attach(made)
        made.step(2)
        with no_waiting(device, but=['event']):
            made.step(2)
    assert len(parts) == 4 and all(part.device.type == 'cuda' for part in parts)
    assert [Path(f's_iter_{i}.solverstate').exists() for i in range(1, 5)] == [False, True, False, False]


@pytest.mark.parametrize('form', ['BINARYPROTO', 'HDF5'])
def test_a_snapshot_goes_on_exactly(folder, form):
    with gpu_mode():
        extra = f'snapshot: 2 snapshot_format: {form}'
        whole = solver('Adam', extra)
        whole.step(4)
        again = solver('Adam', extra)
        again.restore('s_iter_2.solverstate' + ('.h5' if form == 'HDF5' else ''))
        again.step(2)
        for layer in ('angle', 'spread'):  # their schedules count forwards of this process, as genuine Caffe's do
            again.net.layer_dict[layer].iteration += 2
        assert again.iter == 4
        assert_same(state_of(whole), state_of(again), 0.02)


def test_a_snapshot_of_the_gpu_continues_on_the_cpu(folder):
    with gpu_mode():
        made = solver('Adam', 'snapshot: 2')
        made.step(2)
        kept = state_of(made)
    other = solver('Adam')
    other.restore('s_iter_2.solverstate')
    assert_same(
        {k: v for k, v in kept.items() if k not in other.net.outputs},
        {k: v for k, v in state_of(other).items() if k not in other.net.outputs},
        1e-6,
    )


NUMBER = r'-?\b\d+(?:\.\d+)?(?:e[-+]\d+)?\b'


def lines_of(capsys):
    """What was logged, its numbers apart."""
    text = ''.join(line.split('] ', 1)[1] for line in capsys.readouterr().err.splitlines(True) if 'iter/s' not in line)
    return re.sub(NUMBER, '#', text), [float(n) for n in re.findall(NUMBER, text)]


def test_the_log_says_the_same(folder, capsys, monkeypatch):
    logs = []
    monkeypatch.setattr(caffe.process_state.state.log, 'level', 0)

    def outcome():
        made = solver(extra='display: 1 debug_info: true test_iter: 2 test_interval: 2 snapshot: 0 max_iter: 3')
        capsys.readouterr()
        made.solve()
        logs.append(lines_of(capsys))
        return {}

    on_both(outcome)
    (words, numbers), (gpu_words, gpu_numbers) = logs
    assert words == gpu_words and 'Test net output' in words and '[Backward] All net params' in words
    np.testing.assert_allclose(gpu_numbers, numbers, rtol=1e-3, atol=1e-5)


def deployed():
    """A net for inference with weights and input that are not trivial."""
    Path('deploy.prototxt').write_text(DEPLOY)
    caffe.set_random_seed(1)
    net = caffe.Net('deploy.prototxt', caffe.TEST)
    values = np.random.default_rng(2)
    for blob in net.params['norm']:
        blob.data[...] = values.uniform(0.5, 1, blob.shape)
    net.blobs['data'].data[...] = values.standard_normal(net.blobs['data'].shape)
    return net


def test_folded_inference_gives_the_numbers_of_single_layers(folder):
    def outcome(folded=True):
        net = deployed()
        fused = [one for each in net.fused.values() for one in each]
        net.fused = net.fused if folded else {}
        for _ in range(4):
            net.forward()
        assert any(isinstance(one, Group) and one.is_packed() for one in fused) == folded
        return {name: blob.data.copy() for name, blob in net.blobs.items()}

    on_cpu, on_gpu = on_both(outcome)
    assert_same(on_cpu, on_gpu)
    assert_same(outcome(folded=False), on_gpu)


def test_folded_inference_follows_the_device(folder):
    with gpu_mode():
        net, seen = deployed(), []
        for switch in (caffe.set_mode_cpu, caffe.set_mode_gpu) * 2:
            switch()
            for _ in range(4):
                net.forward()
            seen.append(net.blobs['fc'].data.copy())
            net.blobs['conv2'].data[...] = 7
            net.forward(start='sum')
            assert (net.blobs['conv2'].data == 7).all() and net.blobs['both'].data.max() >= 7
        for other in seen[1:]:
            np.testing.assert_allclose(other, seen[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('precision', ['tf32', 'bf16'])
def test_other_precisions_are_near(folder, precision):
    def outcome():
        caffe.set_precision(precision)
        made = solver()
        made.step(2)
        caffe.set_precision('fp32')
        return state_of(made)

    assert_same(*on_both(outcome), 0.05)


def test_the_commands_run(folder, capfd):
    write_pictures(
        folder,
        solver='net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 6 snapshot_prefix: '
        '"out" random_seed: 3 snapshot: 3 solver_mode: GPU',
    )
    with gpu_mode():
        assert main(['train', '-solver', 'solver.prototxt', '-gpu', '0']) == 0
        assert main(['train', '-solver', 'solver.prototxt', '-snapshot', 'out_iter_3.solverstate']) == 0
        for command in ('test', 'time'):
            assert (
                main(
                    [
                        command,
                        '-model',
                        'net.prototxt',
                        '-weights',
                        'out_iter_6.caffemodel',
                        '-gpu',
                        '0',
                        '-iterations',
                        '2',
                    ]
                )
                == 0
            )
    assert 'expected' not in capfd.readouterr().err


def test_rows_of_hdf5_files_come_without_waiting(folder):
    write_run(folder)
    with gpu_mode() as device:
        net = caffe.Net('net.prototxt', caffe.TRAIN)
        net.run_forward()
        with no_waiting(device):
            net.run_forward()
        assert net.blobs['data'].data.any()


def test_pictures_are_classified_and_detected(folder):
    Path('deploy.prototxt').write_text(DEPLOY)
    picture = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    cv2.imwrite('a.png', picture)

    def outcome():
        caffe.set_random_seed(1)
        caffe.Net('deploy.prototxt', caffe.TEST).save('w.caffemodel')
        scores = caffe.Classifier('deploy.prototxt', 'w.caffemodel').predict([picture / 255])
        detector = caffe.Detector('deploy.prototxt', 'w.caffemodel')
        found = detector.detect_windows([('a.png', [[0, 0, 9, 9], [2, 1, 12, 12]])])
        return {'scores': scores, 'windows': np.array([each['prediction'] for each in found])}

    assert_same(*on_both(outcome))


@pytest.mark.skipif(torch.cuda.is_available(), reason='would end all work of this process on a real GPU')
def test_the_command_tells_a_label_out_of_range_in_one_line(folder, capfd):
    write_pictures(folder, solver='net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 3')
    Path('list.txt').write_text('0.png 7\n')
    with gpu_mode():
        assert main(['train', '-solver', 'solver.prototxt', '-gpu', '0']) == 1
    assert re.search(r'^caffe: .*a label or an index is out of range', capfd.readouterr().err, re.MULTILINE)
