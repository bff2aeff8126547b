"""docs/deploy.md and docs/int8.md: every command and every example on them runs, on a small net."""

import shlex

import cv2
import numpy as np
import pytest
from repository import ROOT
from sphereslim.commands.program import find_command
from walking import blocks

import caffe
from caffe.cli.main import main

DEPLOY, INT8 = ROOT / 'docs/deploy.md', ROOT / 'docs/int8.md'
PAIRS = '1\t2\nA\t1\t2\nB\t1\t2\nA\t1\tB\t1\nA\t2\tB\t2\n'
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
    """What the pages name: nets of one layer of each kind, weights, a solver, pictures and pairs of them."""
    rng = np.random.default_rng(0)
    for name in ('faces', 'work', 'people/A', 'people/B'):
        (folder / name).mkdir(parents=True)
    people = [f'people/{name}/{name}_000{number}.jpg' for name in 'AB' for number in (1, 2)]
    for path in [*(f'faces/{number}.png' for number in range(24)), *people]:
        cv2.imwrite(str(folder / path), rng.integers(0, 256, (24, 24, 3), np.uint8))
    solver = 'net: "distilled/train.prototxt" base_lr: 0.001 lr_policy: "fixed" max_iter: 2 snapshot_prefix: "work/s"'
    for name, text in {
        'train.prototxt': FACES + DEPLOYED + LOSS,
        'deploy.prototxt': INPUT + DEPLOYED,
        'list.txt': ''.join(f'{number}.png 0\n' for number in range(24)),
        'solver.prototxt': solver,
        'pairs.txt': PAIRS,
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


def run_blocks(page, folder, monkeypatch):
    """Run every block of a page in a folder of the files that it names."""
    write_files(folder)
    monkeypatch.chdir(folder)
    for _, kind, text in blocks(page):
        if kind == 'python':
            exec(compile(text, str(page), 'exec'), {})
        else:
            for words in commands(text.replace('_iter_40.', '_iter_2.')):
                carry_out(words)


def test_every_block_from_a_caffemodel_to_the_device_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip('ncnn')
    run_blocks(DEPLOY, tmp_path, monkeypatch)
    printed = capsys.readouterr().out
    for line in ('ncnn (8,)', 'onnxruntime (4, 8)', 'OpenCV (1, 8)', 'ncnn 1.0.20261020 takes it'):
        assert line in printed
    for name in ('net.bin', 'int8.bin', 'int8.table', 'int8.onnx', 'leaky/distilled.caffemodel'):
        assert (tmp_path / name).stat().st_size


def test_every_block_of_the_page_on_int8_runs(tmp_path, monkeypatch, capsys):
    run_blocks(INT8, tmp_path, monkeypatch)
    printed = capsys.readouterr().out
    assert 'layers and' in printed and 'points to net.caffemodel' in printed
    written = ['deploy.prototxt', 'net.caffemodel', 'calibration.json', 'simulated.prototxt']
    for name in ('int8.onnx', *(f'int8/{name}' for name in written)):
        assert (tmp_path / name).stat().st_size
