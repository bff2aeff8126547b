"""Products in lower precision: near float32, a training that converges, and float32 where nothing else was asked."""

import numpy as np
import pytest
import torch

import caffe
from caffe import precision
from gpu_mode import gpu_mode
from layer_case import layer, make_net, run
from training_run import SOLVER, caffe_command, write_run

# each factor is off by at most 2⁻⁹ of itself, and so is the result
BF16 = 2.0**-9
FILL = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -1 max: 1 }'
KINDS = {
    'Convolution': (f'convolution_param {{ num_output: 16 kernel_size: 3 pad: 1 {FILL} }}', (2, 8, 7, 6)),
    'grouped': (f'convolution_param {{ num_output: 16 kernel_size: 3 group: 2 {FILL} }}', (2, 8, 7, 6)),
    'Deconvolution': (f'convolution_param {{ num_output: 6 kernel_size: 4 stride: 2 {FILL} }}', (2, 8, 5, 6)),
    'InnerProduct': (f'inner_product_param {{ num_output: 12 {FILL} }}', (4, 30)),
    'transposed': (f'inner_product_param {{ num_output: 12 transpose: true {FILL} }}', (4, 30)),
}
TYPES = {'grouped': 'Convolution', 'transposed': 'InnerProduct'}


@pytest.fixture(autouse=True)
def faithful():
    yield
    caffe.set_precision('fp32')


def outcome(kind, phase=caffe.TRAIN, runs=1):
    """Output, input diff and parameter diffs of a net of one layer."""
    extra, shape = KINDS[kind]
    net = make_net(layer(TYPES.get(kind, kind), extra=extra), {'x': shape}, phase)
    for _ in range(runs):
        run(net)
    blobs = net.params['layer']
    assert all(blob.tensor.dtype == torch.float32 for blob in [*blobs, *net.blobs.values()])
    assert all(blob.grad.dtype == torch.float32 for blob in [*blobs, *net.blobs.values()])
    return [net.blobs['y'].data.copy(), net.blobs['x'].diff.copy(), *(blob.diff.copy() for blob in blobs)]


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('runs', [1, 2])
def test_bf16_is_near_float32_but_not_equal(kind, runs):
    exact = outcome(kind, runs=runs)
    caffe.set_precision('bf16')
    for near, want in zip(outcome(kind, runs=runs), exact):
        assert near.dtype == np.float32
        assert np.abs(near - want).max() <= 4 * BF16 * np.abs(want).max()
    assert np.abs(outcome(kind)[0] - exact[0]).max() > 1e-5


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('between', ['bf16', 'tf32'])
def test_fp32_is_the_same_to_the_last_bit_before_and_after_another_choice(kind, between):
    before = outcome(kind)
    caffe.set_precision(between)
    outcome(kind)
    caffe.set_precision('fp32')
    for again, want in zip(outcome(kind), before):
        np.testing.assert_array_equal(again, want)


@pytest.mark.parametrize('kind', KINDS)
def test_diffs_of_parameters_add_up_in_bf16_as_well(kind):
    extra, shape = KINDS[kind]
    caffe.set_precision('bf16')
    net = make_net(layer(TYPES.get(kind, kind), extra=extra), {'x': shape}, caffe.TRAIN)
    run(net)
    once = [blob.diff.copy() for blob in net.params['layer']]
    net.backward()
    for blob, single in zip(net.params['layer'], once):
        np.testing.assert_allclose(blob.diff, 2 * single, rtol=1e-6)


def test_inference_that_may_be_folded_follows_the_choice(tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 7 dim: 6 } } }'
        + layer('Convolution', extra=KINDS['Convolution'][0])
        + 'layer { name: "relu" type: "ReLU" bottom: "y" top: "z" }'
    )
    net = caffe.Net(str(path), caffe.TEST)
    net.blobs['x'].data[...] = np.random.default_rng(0).standard_normal((2, 8, 7, 6))

    def output(name):
        caffe.set_precision(name)
        for _ in range(3):
            net.forward()
        return net.blobs['z'].data.copy()

    exact, near, again = output('fp32'), output('bf16'), output('fp32')
    assert 1e-5 < np.abs(near - exact).max() <= 4 * BF16 * np.abs(exact).max()
    np.testing.assert_array_equal(again, exact)


def test_tf32_is_allowed_only_when_asked_for():
    seen = []
    for name in ('fp32', 'tf32', 'bf16'):
        caffe.set_precision(name)
        seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
        assert precision.precision() == name
    assert seen == [(False, False), (True, True), (False, False)]


def test_bad_names_leave_the_choice():
    caffe.set_precision('bf16')
    with pytest.raises(caffe.CaffeError, match="'fp16': expected one of fp32, tf32, bf16"):
        caffe.set_precision('fp16')
    assert precision.precision() == 'bf16'


def losses(folder, name):
    ended = caffe_command(folder, 'train', '-solver=solver.prototxt', f'-precision={name}')
    assert ended.returncode == 0, ended.stderr
    return [float(line.split('loss = ')[1]) for line in ended.stderr.splitlines() if ', loss = ' in line]


def test_a_training_converges_in_bf16_as_it_does_in_float32(tmp_path):
    write_run(
        tmp_path,
        solver=SOLVER.replace('max_iter: 6', 'max_iter: 300 average_loss: 10').replace('display: 1', 'display: 20'),
    )
    exact, near = losses(tmp_path, 'fp32'), losses(tmp_path, 'bf16')
    assert exact != near
    assert near[-1] < 0.6 * near[0] and near[-1] < 1.2 * exact[-1]


def test_the_command_refuses_a_bad_name_in_one_line(tmp_path):
    write_run(tmp_path)
    ended = caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '-precision=double')
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == ["caffe: precision 'double': expected one of fp32, tf32, bf16"]


def test_gpu_mode_computes_in_float32_whatever_was_allowed_before():
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision('high')
    with gpu_mode():
        assert not torch.backends.cudnn.allow_tf32 and torch.get_float32_matmul_precision() == 'highest'
