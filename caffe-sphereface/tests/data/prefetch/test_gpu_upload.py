"""Batches go to a GPU on a stream of their own, one ahead where it is complete; see `gpu_mode` for where this runs."""

import gc
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import caffe
from caffe.data.prefetch.batch import Batch
from caffe.data.prefetch.gpu_upload import MOST_AHEAD, Upload
from caffe.errors import CaffeError
from gpu_mode import gpu_mode, no_waiting

LAYER = """layer { name: "d" type: "ImageData" top: "data" top: "label" %s
  image_data_param { source: "list.txt" batch_size: 3 } }"""
TRANSFORMS = ['', 'transform_param { mean_value: 9 scale: 0.5 mirror: true }', 'transform_param { crop_size: 6 }']


class Source:
    """A prefetcher of batches 0, 1, … of which `complete` are there, and then an error where there is a `failure`."""

    def __init__(self, complete, failure=False):
        self.complete, self.taken, self.failure = complete, 0, failure

    def is_ready(self):
        return self.taken < self.complete

    def next(self):
        if self.failure and not self.is_ready():
            raise CaffeError('broken')
        self.taken += 1
        return Batch(torch.full((2, 3), self.taken - 1.0), torch.full((2,), self.taken - 1.0))


@pytest.fixture
def gpu():
    with gpu_mode() as device:
        yield device


def test_the_next_batch_is_on_its_way_when_one_is_handed_out(gpu):
    source = Source(complete=9)
    upload = Upload(source)
    with no_waiting(gpu, but=['event']):
        handed = [upload.next() for _ in range(3)]
    assert source.taken == 4
    assert [(data.unique().tolist(), labels.unique().tolist()) for data, labels in handed] == [
        ([i], [i]) for i in (0.0, 1.0, 2.0)
    ]
    assert handed[0][0].device.type == 'cuda'


@pytest.mark.skipif(torch.cuda.is_available(), reason='a real GPU does not count its events')
def test_the_host_runs_ahead_of_the_gpu_by_a_few_batches_only(gpu):
    upload = Upload(Source(complete=9))
    for i in range(5):
        before = len(gpu.waits)
        upload.next()
        assert [wait.kind for wait in gpu.waits[before:]] == ['event'] * (i >= MOST_AHEAD)


def test_a_batch_that_is_not_complete_is_not_waited_for(gpu):
    source = Source(complete=0)
    upload = Upload(source)
    for i in range(3):
        data, _ = upload.next()
        assert source.taken == i + 1 and (data == i).all()


def test_an_error_comes_with_its_batch(gpu):
    upload = Upload(Source(complete=2, failure=True))
    assert [upload.next()[0][0, 0].item() for _ in range(2)] == [0, 1]
    with pytest.raises(CaffeError, match='broken'):
        upload.next()


def test_what_a_batch_lay_in_can_be_filled_anew_at_once(gpu):
    source = Source(complete=9)
    memory = [torch.full((2, 3), 5.0), torch.zeros(2)]
    source.next = lambda: Batch(*memory)
    upload = Upload(source)
    data, _ = upload.next()
    memory[0].fill_(7)
    assert (data == 5).all()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('CAFFE_DATA_WORKERS', '2')
    for i in range(7):
        cv2.imwrite(f'{i}.png', np.random.default_rng(i).integers(0, 256, (8, 6, 3), np.uint8))
    Path('list.txt').write_text(''.join(f'{i}.png {i}\n' for i in range(7)))


def batches(transform, device=None, count=6):
    caffe.set_random_seed(4)
    Path('net.prototxt').write_text(LAYER % transform)
    net, out = caffe.Net('net.prototxt', caffe.TRAIN), []
    for i in range(count):
        if device and i == 2:
            with no_waiting(device, but=['event']):
                net.run_forward()
        else:
            net.run_forward()
        out += [net.blobs['data'].data.copy(), net.blobs['label'].data.copy()]
    del net
    gc.collect()
    return out


@pytest.mark.parametrize('processes', ['0', '1'])
@pytest.mark.parametrize('transform', TRANSFORMS)
def test_a_net_on_the_gpu_gets_the_batches_of_one_on_the_cpu(folder, monkeypatch, transform, processes):
    monkeypatch.setenv('CAFFE_DATA_PROCESSES', processes)
    on_cpu = batches(transform)
    with gpu_mode() as device:
        on_gpu = batches(transform, device)
    for want, got in zip(on_cpu, on_gpu, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_net_that_goes_on_on_the_cpu_goes_on_with_the_next_batch(folder):
    Path('net.prototxt').write_text(LAYER % '')
    with gpu_mode():
        net = caffe.Net('net.prototxt', caffe.TEST)
        net.run_forward()
        caffe.set_mode_cpu()
        net.run_forward()
        assert net.blobs['label'].data.tolist() == [3, 4, 5]
