"""GPU mode gives the numbers of the CPU and does not wait where it need not; see `gpu_mode` for where this runs."""

import numpy as np
import pytest
import torch

import caffe
from caffe import device as mode
from caffe.blobs.blob import Blob
from caffe.errors import CaffeError
from gpu_cases import CASES, LABELS, NOT_FORCED
from gpu_mode import assert_same, gpu_mode, no_waiting, on_both
from layer_case import layer, make_net, run


def arrays_of(net, diffs=True):
    """Data and diffs of all blobs and parameters, by name."""
    found = dict(net.blobs)
    found.update((f'{name}[{i}]', blob) for name, blobs in net.params.items() for i, blob in enumerate(blobs))
    data = {name: blob.data.copy() for name, blob in found.items()}
    return {**data, **{f'{name} diff': blob.diff.copy() for name, blob in found.items() if diffs}}


@pytest.mark.parametrize('case', CASES)
def test_a_layer_gives_the_numbers_of_the_cpu(case):
    text, shapes, *values = CASES[case]

    def outcome():
        net = make_net(text, shapes, force_backward=case not in NOT_FORCED)
        if 'label' in shapes:
            net.blobs['label'].data[...] = np.resize(LABELS, shapes['label'])
        for name, array in (values[0] if values else {}).items():
            net.blobs[name].data[...] = array
        run(net)
        return arrays_of(net)

    assert_same(*on_both(outcome))


@pytest.fixture
def gpu():
    with gpu_mode() as device:
        yield device


def test_what_python_writes_reaches_the_layers_and_back(gpu):
    blob = Blob(2, 3)
    blob.data[...] = 4
    assert blob.tensor.device.type == 'cuda'
    blob.tensor.add_(1)
    view = blob.data
    assert (view == 5).all()
    view[0] = 7
    assert blob.tensor.sum() == 3 * 7 + 3 * 5
    blob.tensor = torch.ones(2, 3, device='cuda')
    assert (blob.data == 1).all()


def test_a_blob_that_python_wrote_to_can_be_given_another_size(gpu):
    blob = Blob(2, 3)
    blob.data[...] = 4
    blob.reshape(4)
    assert blob.data.tolist() == [0] * 4
    blob.data[...] = 3
    blob.reshape(2, 2)
    assert blob.data.tolist() == [[3, 3], [3, 3]]


def test_a_held_view_writes_until_a_layer_reads(gpu):
    net = make_net(layer('Power', extra='power_param { scale: 2 }'), {'x': (3,)})
    view = net.blobs['x'].data
    for value in (1, 5):
        view = net.blobs['x'].data
        view[...] = value
        net.forward()
        assert net.blobs['y'].data.tolist() == [2 * value] * 3


def test_an_input_is_not_fetched_from_the_gpu_to_be_overwritten(gpu):
    net = make_net(layer('Power', extra='power_param { scale: 2 }'), {'x': (3,)})
    net.run_forward()
    with no_waiting(gpu):
        net.blobs['x'].data[...] = 4
    net.run_forward()
    assert net.blobs['x'].data.tolist() == [4] * 3 and net.blobs['y'].data.tolist() == [8] * 3


def test_what_a_layer_changes_in_place_is_fetched_anew(gpu):
    blob = Blob(3)
    blob.data[...] = 1
    blob.tensor.add_(1)
    assert blob.data.tolist() == [2] * 3


def test_a_lent_diff_that_changes_is_fetched_anew(gpu):
    blob = Blob(2)
    blob.diff[...] = 1
    lent = blob.grad
    blob.lend_grad(lent)
    torch._fused_sgd_(
        [torch.zeros(2, device='cuda')],
        [lent.clone()],
        [lent],
        weight_decay=0.0,
        momentum=1.0,
        lr=1.0,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=False,
    )
    assert blob.diff.tolist() == [2, 2]


@pytest.mark.skipif(torch.cuda.is_available(), reason='would end all work of this process on a real GPU')
@pytest.mark.parametrize('case', ['softmax', 'QUADRUPLE', 'MHE_BATCH', 'embed', 'reindex', 'accuracy'])
def test_a_label_out_of_range_is_told_in_one_line(gpu, case):
    text, shapes = CASES[case]
    net = make_net(text, shapes, force_backward=case not in NOT_FORCED)
    net.blobs['label'].data[...] = 99
    with pytest.raises(CaffeError, match="layer 'layer' .* or one before it: a label or an index is out of range"):
        net.forward()


@pytest.mark.parametrize('index', [-1, 1000])
def test_a_gpu_that_is_not_there_is_refused(gpu, index):
    with pytest.raises(CaffeError, match=f'no device {index}, this machine has {torch.cuda.device_count()}'):
        caffe.set_device(index)
    caffe.set_device(0)


def test_the_gpu_that_was_chosen_is_pytorchs_current_one_too(monkeypatch):
    made = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 4)
    monkeypatch.setattr(torch.cuda, 'set_device', made.append)
    caffe.set_device(2)
    caffe.set_mode_gpu()
    caffe.set_device(3)
    device = mode.device()
    caffe.set_mode_cpu()
    caffe.set_device(0)
    assert made == [2, 3] and device == torch.device('cuda', 3)
