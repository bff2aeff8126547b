"""The stage that distils a pruned net: its pace, its pictures, and how fast each blob may move."""

import cv2
import numpy as np
import pytest
from masking import randomize
from sphereslim.channels.groups import Groups
from sphereslim.data.preparation import InputForm
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import find_layer, parse_net, read_net, read_solver
from sphereslim.net.weights import blob_array, weight_layers
from sphereslim.pruning import distillation
from sphereslim.pruning.model import Model
from sphereslim.training.stage import Stage

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 8, 8] } } }
layer { name: "first" type: "Convolution" bottom: "data" top: "first"
        convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "out" type: "InnerProduct" bottom: "first" top: "out" inner_product_param { num_output: 6 } }
"""


@pytest.fixture
def emitted(tmp_path, monkeypatch):
    """(the emitted Stage, its student) of a training for which there is time for 100 iterations."""
    monkeypatch.setattr(distillation, 'cpu_seconds', lambda *_: 0.54)
    net = parse_net(NET)
    opened = open_net(net)
    randomize(opened, np.random.default_rng(0))
    model = Model(net, weights_of(opened), Groups(net))
    path = tmp_path / 'one.png'
    cv2.imwrite(str(path), np.zeros((12, 10, 3), np.uint8))
    stage = Stage(tmp_path / 'stage')
    assert distillation.emit(stage, model, model, InputForm(), [path] * 4, 1.0, 0.005, 8, 0) == 100
    return stage, model


def test_the_rate_rises_and_then_falls_to_nothing(emitted):
    solver = read_solver(emitted[0].solver)
    assert (solver.lr_policy, solver.power, solver.max_iter) == ('poly', 1, 100)
    assert solver.warmup_iter == 10 and solver.warmup_start_lr == 0


def test_parts_of_a_batch_grow_from_the_size_of_the_pictures(emitted):
    net = read_net(emitted[0].train)
    larger = find_layer(net, 'data_stretched').image_data_param
    assert (larger.new_height, larger.new_width, larger.batch_size) == (15, 11, 2)
    assert find_layer(net, 'data_plain').transform_param.crop_size == 8


def test_every_blob_of_the_student_moves_in_proportion_to_its_size(emitted):
    stage, model = emitted
    net = read_net(stage.train)
    for name, held in weight_layers(model.weights).items():
        sizes = [np.sqrt(np.square(blob_array(blob)).mean()) for blob in held.blobs]
        assert [spec.lr_mult for spec in find_layer(net, name).param] == pytest.approx(sizes, rel=1e-5)
        assert all(spec.lr_mult == 0 for spec in find_layer(net, f'teacher_{name}').param)
