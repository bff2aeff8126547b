"""docs/deploy.md: every command and every example on it runs, on a small net."""

import shlex

import cv2
import numpy as np
import pytest
from repository import ROOT
from sphereslim.commands.program import find_command
from walking import blocks

import caffe
from caffe.cli.main import main

PAGE = ROOT / 'docs/deploy.md'
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 24, 24] } } }'
DEPLOYED = """
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 stride: 2 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "prelu1" type: "PReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 8 kernel_size: 3 group: 8 dilation: 2 pad: 2 weight_filler { type: "xavier" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv2" top: "fc"
  inner_product_param { num_output: 8 weight_filler { type: "xavier" } } }
"""
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }'
FACES = """
layer { name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param { source: "list.txt" root_folder: "faces/" batch_size: 4 } }
"""


def write_files(folder):
    """What the page on devices names: nets of one layer of each kind, weights, a solver and pictures."""
    rng = np.random.default_rng(0)
    for name in ('faces', 'work'):
        (folder / name).mkdir()
    for number in range(24):
        cv2.imwrite(str(folder / f'faces/{number}.png'), rng.integers(0, 256, (24, 24, 3), np.uint8))
    solver = 'net: "distilled/train.prototxt" base_lr: 0.001 lr_policy: "fixed" max_iter: 2 snapshot_prefix: "work/s"'
    for name, text in {
        'train.prototxt': FACES + DEPLOYED + LOSS,
        'deploy.prototxt': INPUT + DEPLOYED,
        'list.txt': ''.join(f'{number}.png 0\n' for number in range(24)),
        'solver.prototxt': solver,
    }.items():
        (folder / name).write_text(text)
    caffe.set_random_seed(1)
    net = caffe.Net(str(folder / 'deploy.prototxt'), caffe.TEST)
    for blob in net.params['bn1']:
        blob.data[...] = 1
    net.save(str(folder / 'net.caffemodel'))


def commands(text):
    """The words of every command in a block of shell."""
    lines = text.replace('\\\n', ' ').splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def carry_out(words):
    """One command, in this process."""
    program, *rest = words
    if program == 'caffe':
        assert main(rest) == 0, words
    else:
        assert program == 'sphereslim', words
        find_command(rest[0]).run(rest[1:])


def test_every_block_from_a_caffemodel_to_the_device_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip('ncnn')
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    for _, kind, text in blocks(PAGE):
        if kind == 'python':
            exec(compile(text, str(PAGE), 'exec'), {})
        else:
            for words in commands(text.replace('_iter_40.', '_iter_2.')):
                carry_out(words)
    printed = capsys.readouterr().out
    for line in ('ncnn (8,)', 'onnxruntime (4, 8)', 'OpenCV (1, 8)', 'ncnn 1.0.20261020 takes it'):
        assert line in printed
    for name in ('net.bin', 'int8.bin', 'int8.table', 'int8.onnx', 'leaky/distilled.caffemodel'):
        assert (tmp_path / name).stat().st_size
