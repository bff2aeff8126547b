"""The front door: what `import sphereslim` gives, and that importing does nothing else."""

import inspect
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import sphereslim as slim
from masking import randomize
from sphereslim.commands.arguments.run_settings import DEFAULTS
from sphereslim.commands.quantization.options import SCHEME
from sphereslim.data.pictures import list_images
from sphereslim.net.opened import open_net, weights_of
from sphereslim.quantization import dequantize
from tiny_run import write_run

LOOK = """
import json, os, sys
before = dict(os.environ), list(sys.path)
import sphereslim
print(json.dumps([(dict(os.environ), list(sys.path)) == before, sorted({'caffe', 'torch', 'cv2'} & set(sys.modules))]))
from sphereslim import Groups, read_net
print(json.dumps('caffe' in sys.modules))
try:
    read_net('deploy.prototxt')
except sphereslim.SlimError as error:
    print(json.dumps(str(error)))
"""


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('door')
    write_run(folder)
    net = open_net(slim.read_net(folder / 'net' / 'deploy.prototxt'))
    randomize(net, np.random.default_rng(0))
    slim.write_weights(folder / 'tiny.caffemodel', weights_of(net))
    return folder


@pytest.fixture
def net(work):
    return slim.read_net(work / 'net' / 'deploy.prototxt')


@pytest.fixture
def weights(work):
    return slim.read_weights(work / 'tiny.caffemodel')


def test_importing_does_nothing_and_a_wrong_caffe_root_is_told_when_the_engine_is_used(tmp_path):
    (tmp_path / 'deploy.prototxt').write_text('layer { name: "data" type: "Input" top: "data" }')
    environment = {**os.environ, 'CAFFE_ROOT': str(tmp_path), 'PYTHONPATH': os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, '-c', LOOK], cwd=tmp_path, env=environment, text=True, capture_output=True)
    quiet, loaded, error = map(json.loads, done.stdout.splitlines())
    assert quiet == [True, []] and loaded is False, done.stderr
    assert error.startswith(f'CAFFE_ROOT={tmp_path}: no folder python/caffe there')


def test_every_name_of_the_front_door_is_there():
    assert all(getattr(slim, name) is not None for name in slim.__all__)
    assert set(slim.__all__) <= set(dir(slim)) and slim.__version__
    with pytest.raises(AttributeError, match='no attribute .pune'):
        slim.pune  # noqa: B018


def test_a_net_is_pruned_refitted_quantized_and_verified(work, net, weights):
    pictures = list_images(work / 'faces' / 'aligned', 4)
    kept = slim.select(net, weights, {'conv1': 0.5}, 'taylor', pictures)
    (small,), cut = slim.prune([net], weights, kept)
    assert slim.Groups(small).of('conv1').size == len(kept['conv1']) == 4
    better = slim.refit(net, weights, small, cut, kept, pictures)
    rough = dequantize(slim.quantize(better, {'conv1': 3, '*': 32}))
    for held in (better, rough):
        result = slim.evaluate(small, held, work / 'faces' / 'pairs.txt', work / 'faces' / 'aligned')
        assert 0 <= result.accuracy <= 100 and result.pairs > 0
    slim.write_net(work / 'small.prototxt', small)
    slim.write_weights(work / 'small.caffemodel', better)
    read = slim.evaluate(
        work / 'small.prototxt', work / 'small.caffemodel', work / 'faces' / 'pairs.txt', work / 'faces' / 'aligned'
    )
    assert read == slim.evaluate(small, better, work / 'faces' / 'pairs.txt', work / 'faces' / 'aligned')


def test_the_defaults_are_those_of_the_commands():
    select, quantize = (inspect.signature(function).parameters for function in (slim.select, slim.quantize))
    assert select['criterion'].default == DEFAULTS['criterion'] == 'obs'
    assert quantize['scheme'].default == SCHEME


def test_a_criterion_that_runs_the_net_asks_for_pictures(net, weights):
    assert len(slim.select(net, weights, {'conv1': 0.5}, 'l1')['conv1']) == 4
    with pytest.raises(slim.SlimError, match="criterion 'obs' runs the net, expected pictures"):
        slim.select(net, weights, {'conv1': 0.5})
