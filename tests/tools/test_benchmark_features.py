import subprocess
import sys

import cv2
import numpy as np
import torch
from benchmarks.torch_peer import Peer
from repository import ROOT
from sphereslim.engine import caffe
from sphereslim.facedata.alignment import landmarks
from sphereslim.net.prototxt import read_net

FILLER = 'weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "gaussian" std: 0.4 }'
NET = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 3 dim: 13 dim: 11 }} }} }}
layer {{ name: "a" type: "Convolution" bottom: "data" top: "a"
        convolution_param {{ num_output: 6 kernel_h: 3 kernel_w: 2 pad: 1 stride: 2 {FILLER} }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "a" top: "bn" batch_norm_param {{ eps: 0.01 }} }}
layer {{ name: "sc" type: "Scale" bottom: "bn" top: "bn" scale_param {{ bias_term: true }} }}
layer {{ name: "pr" type: "PReLU" bottom: "bn" top: "bn" }}
layer {{ name: "b" type: "Convolution" bottom: "bn" top: "b"
        convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 group: 6 bias_term: false {FILLER} }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "b" bottom: "bn" top: "sum" }}
layer {{ name: "plain" type: "BatchNorm" bottom: "sum" top: "plain" }}
layer {{ name: "relu" type: "ReLU" bottom: "plain" top: "plain" }}
layer {{ name: "pool" type: "Pooling" bottom: "plain" top: "pool"
        pooling_param {{ pool: MAX kernel_size: 3 stride: 2 }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param {{ num_output: 5 {FILLER} }} }}
layer {{ name: "bn1" type: "BatchNorm" bottom: "fc" top: "fc" }}
layer {{ name: "sc1" type: "Scale" bottom: "fc" top: "fc" }}
layer {{ name: "prob" type: "Softmax" bottom: "fc" top: "prob" }}
"""


def make(folder, text=NET):
    (folder / 'deploy.prototxt').write_text(text)
    caffe.set_random_seed(2)
    net = caffe.Net(str(folder / 'deploy.prototxt'), caffe.TEST)
    rng = np.random.default_rng(2)
    for name in ('bn', 'plain', 'bn1', 'sc', 'sc1', 'pr'):
        for blob in net.params.get(name, ()):
            blob.data[...] = rng.uniform(0.5, 2, blob.data.shape)
    net.save(str(folder / 'w.caffemodel'))
    return net


def test_the_peer_computes_the_same_network(tmp_path):
    net = make(tmp_path)
    images = np.random.default_rng(0).normal(size=(2, 3, 13, 11)).astype(np.float32)
    net.blobs['data'].data[...] = images
    with torch.inference_mode():
        theirs = Peer(read_net(tmp_path / 'deploy.prototxt'), net)(torch.from_numpy(images)).numpy()
    assert np.allclose(net.forward()['prob'], theirs, atol=1e-5)


def run(tool, *words):
    return subprocess.run([sys.executable, ROOT / 'tools' / tool, *map(str, words)], capture_output=True, text=True)


def test_the_benchmark_prints_a_row_per_batch_size(tmp_path):
    make(tmp_path)
    told = run(
        'benchmark_features.py',
        tmp_path / 'deploy.prototxt',
        tmp_path / 'w.caffemodel',
        '--batch',
        1,
        3,
        '--rounds',
        1,
        '--threads',
        1,
    )
    assert told.returncode == 0, told.stderr
    rows = [line.split() for line in told.stdout.splitlines()[3:]]
    assert [row[0] for row in rows] == ['1', '3']
    assert all(float(row[-1]) < 1e-4 for row in rows)  # how far the two are apart


def test_a_layer_that_the_peer_does_not_know_is_named(tmp_path):
    make(tmp_path, NET.replace('"Softmax"', '"TanH"'))
    told = run('benchmark_features.py', tmp_path / 'deploy.prototxt', tmp_path / 'w.caffemodel')
    assert told.returncode == 1 and "layer 'prob' (TanH)" in told.stderr and len(told.stderr.splitlines()) == 1


def test_faces_are_drawn_on_copies(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((60, 60, 3), np.uint8))
    points = np.array([[20, 20], [40, 20], [30, 30], [22, 40], [38, 40]])
    (tmp_path / 'list.txt').write_text(landmarks.found_line('a.png', (10, 8, 50, 52), 0.99, points))
    told = run('draw_faces.py', tmp_path, '--list', tmp_path / 'list.txt', '--out', tmp_path / 'drawn')
    assert told.returncode == 0, told.stderr
    drawn = cv2.imread(str(tmp_path / 'drawn' / 'a.png'))
    assert all(drawn[y, x, 2] > 200 for x, y in points) and drawn[30, 10, 1] > 100 and not drawn[5, 5].any()
    assert not cv2.imread(str(tmp_path / 'a.png')).any()
